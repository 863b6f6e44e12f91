// EDM's preconditioning against published formulas and against what the official code computes.
#include <gtest/gtest.h>

#include "plugins/edm/preconditioning.hpp"

namespace tessera::edm {
namespace {

struct Recorded {
  float sigma, skip, out, in, noise;
};

// LatentDiffusion.model_forward_wrapper of the official code under PyTorch 1.13. Dividing at once would
// change c_skip at 66.1, 0.535, 0.0563 and 0.00448, fusing the variance at 9.72, 8.93, 6.87 and 0.535.
const Recorded official[] = {{80.0F, 0.000126546482F, 0.899942994F, 0.0124992086F, 1.09550667F},
                             {66.1014099F, 0.00018534594F, 0.899916589F, 0.0151268682F, 1.04779756F},
                             {9.72320175F, 0.00849496108F, 0.896169066F, 0.102409013F, 0.568628728F},
                             {8.92805481F, 0.0100595932F, 0.895461679F, 0.111441687F, 0.547299623F},
                             {6.86768675F, 0.0168837495F, 0.892369866F, 0.144374982F, 0.481706828F},
                             {1.1106323F, 0.396377981F, 0.699238062F, 0.699539542F, 0.026232373F},
                             {0.534966886F, 0.738923371F, 0.45986104F, 0.955118358F, -0.156387612F},
                             {0.0563326031F, 0.996097505F, 0.0562225804F, 1.10894096F, -0.719120443F},
                             {0.00448269676F, 0.999975145F, 0.00448264088F, 1.11109734F, -1.35188258F},
                             {0.00200000009F, 0.999995053F, 0.00199999521F, 1.1111083F, -1.55365205F}};

TEST(EdmPreconditioning, Float32CoefficientsAreTheOfficialOnesBitForBit) {
  for (const Recorded& expected : official) {
    const Coefficients<double> c = float32_coefficients(expected.sigma, 0.9);
    EXPECT_EQ(c.skip, expected.skip) << expected.sigma;
    EXPECT_EQ(c.out, expected.out) << expected.sigma;
    EXPECT_EQ(c.in, expected.in) << expected.sigma;
    EXPECT_EQ(c.noise, expected.noise) << expected.sigma;
  }
}

TEST(EdmPreconditioning, Float64CoefficientsFollowTheFormulas) {
  for (const Recorded& expected : official) {
    const Coefficients<double> c = coefficients<double>(expected.sigma, 0.9);
    EXPECT_NEAR(c.skip, expected.skip, 2e-7);
    EXPECT_NEAR(c.out, expected.out, 2e-7);
    EXPECT_NEAR(c.in, expected.in, 2e-7);
    EXPECT_NEAR(c.noise, expected.noise, 2e-7);
    EXPECT_NEAR(c.weight * c.out * c.out, 1, 1e-14);  // the network's target has unit weight at every sigma
  }
}

}  // namespace
}  // namespace tessera::edm
