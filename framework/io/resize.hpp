#pragma once
// Invariant: resampling is antialiased (the filter widens with the reduction) and equals Pillow's 8-bit
// result bit for bit, so that pictures prepared here are those of the published recipes. The one exception:
// Pillow 13 takes the columns first where one side grows and the other shrinks; here rows always come first.

#include "io/image.hpp"

namespace tessera::io {

enum class Filter {
  box,       ///< mean over the source area; support 0.5
  bilinear,  ///< triangle; support 1
  bicubic,   ///< Keys' cubic with a = -0.5; support 2
};

/// Resamples to the given size, rows first, rounding to 8 bits between the two passes.
/// @throws Error if the image is empty or a side is not positive.
Image resize(const Image& image, int width, int height, Filter filter);

/// Left or top offset of a centred crop: (size - crop) / 2, halves rounded to even as Python does.
int centre_crop_offset(int size, int crop);

/// @throws Error if the crop is larger than the image.
Image centre_crop(const Image& image, int width, int height);

/// The smallest size of the same aspect that covers `target`: one side equal, the other rounded down (X.3).
/// @throws Error if a side is not positive.
ImageSize cover_size(ImageSize size, ImageSize target);

/// The preparation rule of the recipes: resizes so that the picture covers `target`, then cuts out the middle
/// (X.3). For a square that is short side to `side`, then the central square (M.E.3).
Image resize_and_crop(const Image& image, ImageSize target, Filter filter = Filter::bicubic);

/// Each pixel becomes factor x factor pixels, for looking at small pictures. @throws Error if factor < 1.
Image magnify(const Image& image, int factor);

}  // namespace tessera::io
