// An environment variable for as long as a test runs.
#pragma once

#include <cstdlib>
#include <string>

namespace squish::testing {

class ScopedEnvironment {
 public:
  // `value` null: the variable is not set.
  ScopedEnvironment(const char* name, const char* value) : name_(name) {
    const char* old = std::getenv(name);
    had_ = old != nullptr;
    if (had_) old_ = old;
    assign(value);
  }
  ~ScopedEnvironment() { assign(had_ ? old_.c_str() : nullptr); }
  ScopedEnvironment(const ScopedEnvironment&) = delete;
  ScopedEnvironment& operator=(const ScopedEnvironment&) = delete;

 private:
  void assign(const char* value) const {
    if (value != nullptr) {
      setenv(name_, value, 1);
    } else {
      unsetenv(name_);
    }
  }

  const char* name_;
  bool had_;
  std::string old_;
};

}  // namespace squish::testing
