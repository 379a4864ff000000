// Whether a call throws, what, and what it says.
#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace squish::testing {

// Whether call() throws an Exception with `words` in its message.
template <typename Exception, typename Call>
::testing::AssertionResult throws(Call&& call, const std::string& words) {
  try {
    call();
  } catch (const Exception& error) {
    if (std::string(error.what()).find(words) != std::string::npos) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << "got \"" << error.what() << "\", wanted \"" << words << "\" in it";
  } catch (const std::exception& error) {
    return ::testing::AssertionFailure() << "threw another type: " << error.what();
  }
  return ::testing::AssertionFailure() << "did not throw, wanted \"" << words << "\"";
}

}  // namespace squish::testing
