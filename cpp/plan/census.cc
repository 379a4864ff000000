#include "plan/census.h"

#include <cstdio>

#include "format/weights.h"

namespace squish {
namespace {

void count(WeightCensus& census, const ConvDescription& conv) {
  census.live_weights += count_live_weights(conv);
  census.all_weights += conv.weight_count();
  census.live_clusters += count_live_clusters(conv);
  census.all_clusters += count_clusters(conv);
}

}  // namespace

double WeightCensus::density() const { return fraction(live_weights, all_weights); }
double WeightCensus::cluster_density() const { return fraction(live_clusters, all_clusters); }

std::string WeightCensus::text() const {
  if (live_clusters == all_clusters) {
    if (live_weights == all_weights) return "dense";
    return percent(live_weights, all_weights) + " of weights but all clusters live: runs as dense";
  }
  std::string text = percent(live_clusters, all_clusters) + " of clusters live";
  // Zeros scattered over clusters save nothing.
  if (2 * density() < cluster_density()) {
    text += ", though only " + percent(live_weights, all_weights) + " of weights";
  }
  return text;
}

WeightCensus take_census(const Op& op) {
  WeightCensus census;
  if (op.squeeze != nullptr) count(census, *op.squeeze);
  for (const ConvDescription* conv : op.convs) count(census, *conv);
  return census;
}

std::string percent(int64_t part, int64_t all) {
  const double value = all == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(all);
  char text[32];
  std::snprintf(text, sizeof text, value > 0 && value < 9.95 ? "%.1f %%" : "%.0f %%", value);
  return text;
}

double fraction(int64_t part, int64_t all) {
  return all == 0 ? 1 : static_cast<double>(part) / static_cast<double>(all);
}

}  // namespace squish
