#!/usr/bin/env bash
# Installs the Debian packages that building and running Tessera needs, asking nothing.
#   install_packages.sh [--tests]     --tests adds what the tests need
# Does nothing when all are there. Without root it prints the one line to run and stops.
set -euo pipefail

packages=(
  g++ cmake ninja-build pkg-config
  libtrilinos-kokkos-dev            # Kokkos
  libdnnl-dev libopenblas-dev       # matrix products: float32 and bfloat16; float64
  libopenmpi-dev openmpi-bin        # ranks
  libhdf5-openmpi-dev               # shards and checkpoints
  libtomlplusplus-dev nlohmann-json3-dev
  libpng-dev libjpeg-dev libfreetype-dev libharfbuzz-dev
  fonts-noto-color-emoji unicode-data unicode-cldr-core  # the emoji data set
)
# wordnet-base (28 MB) is what `tessera data stats` counts nouns with; it says so when it is missing.
# libopencv-imgproc-dev (36 MB) is the control map `canny`.
# The tests of the batch scripts start a Slurm of their own; the packages start nothing that would be needed.
if [ "${1:-}" = "--tests" ]; then
  packages+=(libgtest-dev libgmock-dev wordnet-base libopencv-imgproc-dev slurm-wlm munge iproute2)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
  echo "These Debian packages are missing. Install them with this line, then run this script again:" >&2
  echo "  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  cat "$log" >&2
  echo "The packages could not be installed; apt's output is above." >&2
  exit 1
fi
rm -f "$log"
