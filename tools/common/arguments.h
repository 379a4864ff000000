// The command line of a tool: operands, flags and options with a value, with the help text made from their list.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace squish::tools {

// The user called the tool wrongly: it exits with status 2.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Arguments {
 public:
  // `synopsis`: "squish-bench NET.squish... [options]". `about`: what the tool does.
  Arguments(std::string synopsis, std::string about);

  // An option's default is what its variable holds now; the variables must outlive parse().
  void add_flag(const std::string& name, const std::string& help, bool* value);
  void add_int(const std::string& name, int minimum, const std::string& help, int* value);
  void add_text(const std::string& name, const std::string& metavar, const std::string& help,
                std::string* value);
  // `read` throws UsageError on a value it does not take; the message need not name the option.
  void add(const std::string& name, const std::string& metavar, const std::string& help,
           std::function<void(const std::string&)> read);

  // Fills the variables from "--name value", "--name=value" and "--name"; returns the operands. After "--" all are.
  // Throws UsageError, naming the option.
  std::vector<std::string> parse(int argc, const char* const* argv) const;

  std::string help() const;

 private:
  struct Option {
    std::string name, metavar, help;  // a flag has no metavar
    std::function<void(const std::string&)> read;
  };
  const Option& find(const std::string& name) const;

  std::string synopsis_, about_;
  std::vector<Option> options_;
};

// The whole of `text` as a decimal integer from `minimum` to INT_MAX. Throws UsageError.
int parse_int(const std::string& text, int minimum);

// Runs a tool's body and returns its exit status: 2, with a line on stderr, after UsageError or the library's
// InvalidArgument; 1 after any other exception.
int run_tool(const char* tool, const std::function<int()>& body);

}  // namespace squish::tools
