// Windows that kernels of convolutions must know: with and without strides and padding, and no side like another.
#pragma once

#include "support/net_builder.h"

namespace squish::testing {

inline const Window kWindows[] = {square(1),
                                  square(2),
                                  square(3),
                                  square(3, 1, 1),
                                  square(3, 2),
                                  square(7, 2),
                                  square(7, 2, 3),
                                  square(1, 2),
                                  {1, 7, 1, 1, 0, 3, 0, 3},
                                  {5, 2, 1, 3, 4, 0, 1, 1},
                                  {3, 3, 1, 1, 0, 2, 1, 0}};

}  // namespace squish::testing
