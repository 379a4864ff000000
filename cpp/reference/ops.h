// The plain loops that say what each operation means, one .cc an operation: the truth for every kernel test.
// They know nothing of layouts, packing or sparsity.
#pragma once

#include "format/description.h"
#include "reference/activation.h"

namespace squish::reference {

// winograd: the engine whose error is tracked may compute this convolution in Winograd's tiles, whose terms are larger.
Activation conv(const Activation& in, const ConvDescription& conv, bool winograd);
Activation max_pool(const Activation& in, const Window& window, bool ceil_mode);
Activation add(const Activation& a, const Activation& b, bool relu);
Activation global_average_pool(const Activation& in);
Activation concat_channels(const Activation& a, const Activation& b);

}  // namespace squish::reference
