// Images of any size to the pixels that a net eats, as python/squishnative/preprocess.py prepares them: with Pillow's
// arithmetic, to the pixel (of Pillow 13; earlier ones round high images otherwise), so that squish-infer sees what
// `squish infer` sees.
#pragma once

#include "format/description.h"
#include "infer/ppm.h"

namespace squish::infer {

// Resized, cut to the centre and in the net's channels. Throws squish::InvalidArgument where the net takes no grey or
// RGB images, where its input has more than 2^28 pixels, or where a long narrow image would be resized to as many.
Image preprocess(const Image& image, const InputDescription& input);

// Antialiased: where the image shrinks, a filter is as much wider.
Image resize(const Image& image, int height, int width, Interpolation interpolation);

}  // namespace squish::infer
