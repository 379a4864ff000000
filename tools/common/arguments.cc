#include "common/arguments.h"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

#include "squish/error.h"

namespace squish::tools {
namespace {

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

int fail(const char* tool, const char* message, int status) {
  std::fprintf(stderr, "%s: %s\n", tool, message);
  if (status == 2) std::fprintf(stderr, "Try '%s --help'.\n", tool);
  return status;
}

}  // namespace

Arguments::Arguments(std::string synopsis, std::string about)
    : synopsis_(std::move(synopsis)), about_(std::move(about)) {}

void Arguments::add_flag(const std::string& name, const std::string& help, bool* value) {
  add(name, "", help, [value](const std::string&) { *value = true; });
}

void Arguments::add_int(const std::string& name, int minimum, const std::string& help, int* value) {
  add(name, "N", help + " [" + std::to_string(*value) + "]",
      [=](const std::string& text) { *value = parse_int(text, minimum); });
}

void Arguments::add_text(const std::string& name, const std::string& metavar, const std::string& help,
                         std::string* value) {
  add(name, metavar, value->empty() ? help : help + " [" + *value + "]",
      [value](const std::string& text) { *value = text; });
}

void Arguments::add(const std::string& name, const std::string& metavar, const std::string& help,
                    std::function<void(const std::string&)> read) {
  options_.push_back({name, metavar, help, std::move(read)});
}

const Arguments::Option& Arguments::find(const std::string& name) const {
  const auto found = std::find_if(options_.begin(), options_.end(),
                                  [&](const Option& option) { return option.name == name; });
  if (found == options_.end()) throw UsageError("unknown option '" + name + "'");
  return *found;
}

std::vector<std::string> Arguments::parse(int argc, const char* const* argv) const {
  std::vector<std::string> operands;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") {
      operands.insert(operands.end(), argv + i + 1, argv + argc);
      break;
    }
    if (!starts_with(word, "-") || word == "-") {
      operands.push_back(word);
      continue;
    }
    const size_t equals = word.find('=');
    const Option& option = find(word.substr(0, equals));
    const bool is_flag = option.metavar.empty(), has_value = equals != std::string::npos;
    if (is_flag && has_value) throw UsageError(option.name + " takes no value, got '" + word + "'");
    if (!is_flag && !has_value && ++i == argc) throw UsageError(option.name + " wants a value");
    try {
      option.read(is_flag ? "" : has_value ? word.substr(equals + 1) : argv[i]);
    } catch (const UsageError& error) {
      throw UsageError(option.name + ": " + error.what());
    }
  }
  return operands;
}

std::string Arguments::help() const {
  const auto left = [](const Option& option) {
    return option.metavar.empty() ? option.name : option.name + " " + option.metavar;
  };
  size_t width = 0;
  for (const Option& option : options_) width = std::max(width, left(option).size());
  std::string text = "usage: " + synopsis_ + "\n\n" + about_ + "\n\noptions:\n";
  for (const Option& option : options_) {
    const std::string head = left(option);
    text += "  " + head + std::string(width + 2 - head.size(), ' ');
    for (const char c : option.help)
      text += c == '\n' ? "\n" + std::string(width + 4, ' ') : std::string(1, c);
    text += '\n';
  }
  return text;
}

int parse_int(const std::string& text, int minimum) {
  errno = 0;
  char* end = nullptr;
  const long value = std::strtol(text.c_str(), &end, 10);
  const bool is_number = !text.empty() && end == text.c_str() + text.size() && errno == 0;
  if (!is_number || value < minimum || value > INT_MAX) {
    throw UsageError("got '" + text + "', wanted a whole number, at least " + std::to_string(minimum));
  }
  return static_cast<int>(value);
}

int run_tool(const char* tool, const std::function<int()>& body) {
  try {
    return body();
  } catch (const UsageError& error) {
    return fail(tool, error.what(), 2);
  } catch (const InvalidArgument& error) {
    return fail(tool, error.what(), 2);
  } catch (const std::bad_alloc&) {
    return fail(tool, "not enough memory", 1);
  } catch (const std::exception& error) {
    return fail(tool, error.what(), 1);
  }
}

}  // namespace squish::tools
