# Every package the project links, with Debian's quirks repaired here and nowhere else.
find_package(MPI REQUIRED COMPONENTS CXX)

set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 REQUIRED COMPONENTS C)
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "The HDF5 found at ${HDF5_INCLUDE_DIRS} was built without MPI. "
    "Install libhdf5-openmpi-dev, or set HDF5_C_COMPILER_EXECUTABLE to a parallel h5pcc.")
endif()

include(TesseraKokkos)

# Debian's CMake package of oneDNN asks for OpenCL, which a CPU build never needs.
find_path(DNNL_INCLUDE_DIR dnnl.hpp REQUIRED)
find_library(DNNL_LIBRARY dnnl REQUIRED)
add_library(DNNL::dnnl UNKNOWN IMPORTED)
set_target_properties(DNNL::dnnl PROPERTIES
  IMPORTED_LOCATION "${DNNL_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${DNNL_INCLUDE_DIR}")
find_package(PkgConfig REQUIRED)
pkg_check_modules(openblas REQUIRED IMPORTED_TARGET openblas)
find_package(PNG REQUIRED)
find_package(JPEG REQUIRED)
find_package(Freetype REQUIRED)
pkg_check_modules(harfbuzz REQUIRED IMPORTED_TARGET harfbuzz)
find_package(Threads REQUIRED)
find_package(nlohmann_json REQUIRED)  # Debian: nlohmann-json3-dev; included by .cpp files only

find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h REQUIRED)
add_library(tessera_toml INTERFACE)
target_include_directories(tessera_toml SYSTEM INTERFACE "${TOMLPLUSPLUS_INCLUDE_DIR}")
target_compile_definitions(tessera_toml INTERFACE TOML_HEADER_ONLY=1)

# Optional: the plugin `canny` is OpenCV's edge detector. Debian keeps OpenCV's CMake package in libopencv-dev, with
# all of its modules; the two libraries that are needed here come without one.
find_path(OPENCV_INCLUDE_DIR opencv2/imgproc.hpp PATH_SUFFIXES opencv4)
find_library(OPENCV_CORE_LIBRARY opencv_core)
find_library(OPENCV_IMGPROC_LIBRARY opencv_imgproc)
if(OPENCV_INCLUDE_DIR AND OPENCV_CORE_LIBRARY AND OPENCV_IMGPROC_LIBRARY)
  add_library(tessera_opencv INTERFACE)
  target_include_directories(tessera_opencv SYSTEM INTERFACE "${OPENCV_INCLUDE_DIR}")
  target_link_libraries(tessera_opencv INTERFACE "${OPENCV_IMGPROC_LIBRARY}" "${OPENCV_CORE_LIBRARY}")
else()
  message(STATUS "OpenCV was not found: the control map `canny` will not work. "
    "Install libopencv-imgproc-dev to have it.")
endif()
