// Tests of what only a sanitizer sees.
#pragma once

#include <gtest/gtest.h>

#if defined(__has_feature)
#define SQUISH_HAS_FEATURE(feature) __has_feature(feature)
#else
#define SQUISH_HAS_FEATURE(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SQUISH_HAS_FEATURE(address_sanitizer)
#define SQUISH_SKIP_WITHOUT_ASAN() (void)0
#else
#define SQUISH_SKIP_WITHOUT_ASAN() \
  GTEST_SKIP() << "AddressSanitizer finds it: build with SQUISH_SANITIZE=address"
#endif

#if defined(__SANITIZE_THREAD__) || SQUISH_HAS_FEATURE(thread_sanitizer)
#define SQUISH_UNDER_TSAN
#define SQUISH_SKIP_WITHOUT_TSAN() (void)0
#define SQUISH_SKIP_UNDER_TSAN(why) GTEST_SKIP() << (why)
#else
#define SQUISH_SKIP_WITHOUT_TSAN() \
  GTEST_SKIP() << "ThreadSanitizer finds it: build with SQUISH_SANITIZE=thread"
#define SQUISH_SKIP_UNDER_TSAN(why) (void)0
#endif
