#include "support/random_net.h"

#include "squish/error.h"
#include "support/net_builder.h"

namespace squish::testing {
namespace {

constexpr double kDensities[] = {1, 0.3, 0.1, 0};
constexpr WeightType kTypes[] = {WeightType::kF32, WeightType::kF16, WeightType::kI8, WeightType::kI4};
constexpr WeightType kIntegerTypes[] = {WeightType::kI8, WeightType::kI4};
constexpr EncodingChoice kEncodings[] = {EncodingChoice::kSmallest, EncodingChoice::kDense,
                                         EncodingChoice::kCluster16x1, EncodingChoice::kCluster16x4,
                                         EncodingChoice::kSynapse};
// Odd, even, prime, a power of two and its neighbour.
constexpr int kExtents[] = {33, 37, 40, 45, 64, 65, 97};
const Window kStems[] = {square(7, 2, 3), square(3, 2, 1), square(3, 3),
                         square(5, 3, 2), square(3, 1, 1), {3, 5, 2, 1, 1, 0, 0, 2}};
const Window kPools[] = {square(2, 2), square(3, 2, 1), square(3, 1, 1), {2, 3, 1, 2, 1, 0, 0, 2}};

class Maker {
 public:
  explicit Maker(uint32_t seed, bool integers)
      : random_(seed),
        integers_(integers),
        net_(seed + 1000, random_.chance(0.7) ? 3 : random_.between(1, 4)) {
    density_ = random_.pick(kDensities);
    clusters_die_ = random_.chance(0.7);
  }

  // The stem and pools of torchvision's two versions, on eight Fires of any width.
  void squeezenet(bool version_1_0) {
    stem(version_1_0 ? square(7, 2) : square(3, 2));
    pool();
    for (int k = 2; k <= 9; ++k) {
      fire();
      const bool pooled = version_1_0 ? k == 4 || k == 8 : k == 3 || k == 5;
      if (pooled) pool();
    }
    head();
  }

  // Additions around Fires: of the net's input, of equal blocks, of blocks that lie apart.
  void bypasses() {
    if (random_.chance(0.5)) {
      const int image_like = net_.conv(-1, net_.channels(-1), square(3, 1, 1), style());
      at_ = net_.add(-1, image_like, random_.chance(0.5));
    }
    stem(square(3, 2, 1));
    for (int k = 0; k < 3; ++k) {
      const FireWidths widths = fire_widths();
      const int first = net_.fire(at_, widths, style());
      const FireWidths next = random_.chance(0.5) ? widths : swapped(widths);
      const int second = net_.fire(first, next, style());
      at_ = net_.add(first, second, random_.chance(0.5));
      if (k == 1) pool();
    }
    head();
  }

  // Stems, pools and heads that no SqueezeNet has.
  void free_form() {
    if (random_.chance(0.3)) pool();
    if (random_.chance(0.8)) stem(random_.pick(kStems));
    const int fires = random_.between(1, 4);
    for (int k = 0; k < fires; ++k) {
      fire();
      if (k % 2 == 0 && random_.chance(0.6)) pool();
    }
    head();
  }

  RandomNet finish() {
    if (integers_) net_.hold_in_bytes();
    const auto model = net_.model();
    for (;;) {
      const int height = random_.pick(kExtents), width = random_.pick(kExtents);
      try {
        model->output_shape(height, width);
        return {model, height, width};
      } catch (const InvalidArgument&) {  // too small for this net: draw again
      }
    }
  }

 private:
  int width() { return random_.between(1, 40); }

  FireWidths fire_widths() {
    FireWidths widths{random_.between(1, 20), width(), width()};
    if (random_.chance(0.15)) (random_.chance(0.5) ? widths.expand1x1 : widths.expand3x3) = 0;
    return widths;
  }

  static FireWidths swapped(const FireWidths& w) { return {w.squeeze, w.expand3x3, w.expand1x1}; }

  ConvStyle style(bool relu = true) {
    return {relu, density_, clusters_die_, integers_ ? random_.pick(kIntegerTypes) : random_.pick(kTypes),
            random_.pick(kEncodings)};
  }

  // Numbers are drawn one statement at a time: compilers differ in the order they evaluate arguments.
  void stem(const Window& window) {
    const int filters = width();
    at_ = net_.conv(at_, filters, window, style());
  }
  void fire() {
    const FireWidths widths = fire_widths();
    at_ = net_.fire(at_, widths, style());
  }

  // Mostly SqueezeNet's window.
  void pool() {
    const Window window = random_.chance(0.6) ? square(3, 2) : random_.pick(kPools);
    at_ = net_.max_pool(at_, window, random_.chance(0.5));
  }

  // SqueezeNet's convolution and average, the other way round, or a map of features.
  void head() {
    const int classes = random_.between(1, 40), kind = random_.between(0, 3);
    if (kind == 3) at_ = net_.global_average_pool(at_);
    at_ = net_.conv(at_, classes, square(1), style(random_.chance(0.5)));
    if (kind < 2) net_.global_average_pool(at_);
  }

  Random random_;
  bool integers_;
  NetBuilder net_;
  double density_;
  bool clusters_die_;
  int at_ = -1;  // the layer to go on from
};

RandomNet make(uint32_t seed, bool integers) {
  Maker maker(seed, integers);
  switch (seed % 4) {
    case 0:
    case 1:
      maker.squeezenet(seed % 4 == 0);
      break;
    case 2:
      maker.bypasses();
      break;
    default:
      maker.free_form();
  }
  return maker.finish();
}

}  // namespace

RandomNet random_net(uint32_t seed) { return make(seed, false); }
RandomNet random_integer_net(uint32_t seed) { return make(seed, true); }

}  // namespace squish::testing
