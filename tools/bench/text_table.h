// Plain text tables, for what the tools print.
#pragma once

#include <string>
#include <vector>

namespace squish::bench {

using Row = std::vector<std::string>;

// Columns as wide as their widest cell; the first `left` flush left, the others right. Every row has rows[0]'s cells:
// the header's.
std::string text_table(const std::vector<Row>& rows, size_t left);

// 12.345, 2 -> "12.35"
std::string fixed(double value, int decimals);
// 0.156 -> "15.6 %"
std::string percent(double fraction);

}  // namespace squish::bench
