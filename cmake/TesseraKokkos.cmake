# Kokkos, and what compiles the sources that hold kernels: the C++ compiler, or nvcc through CMake's CUDA language
# when Kokkos was built for CUDA. TESSERA_CUDA says which.
set(Kokkos_LAUNCH_COMPILER OFF)  # its package would pass whole targets to nvcc; see tessera_compile_kernels()
find_package(Kokkos REQUIRED)
# Debian's package exports an include path that does not exist.
get_target_property(kokkos_includes Kokkos::kokkos INTERFACE_INCLUDE_DIRECTORIES)
foreach(dir IN LISTS kokkos_includes)
  if(NOT dir MATCHES "\\$<" AND NOT EXISTS "${dir}")
    set(kokkos_includes "${Kokkos_INCLUDE_DIRS}")
    set_target_properties(Kokkos::kokkos PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kokkos_includes}")
    break()
  endif()
endforeach()

# The packages of different releases set different variables; their configuration header is the same in all.
unset(kokkos_config)
find_file(kokkos_config KokkosCore_config.h PATHS ${kokkos_includes} NO_DEFAULT_PATH NO_CACHE REQUIRED)
file(STRINGS "${kokkos_config}" kokkos_version REGEX "^#define KOKKOS_VERSION [0-9]+")
string(REGEX MATCH "[0-9]+" kokkos_version "${kokkos_version}")
set(TESSERA_CUDA OFF)
set(kokkos_space "serial")
foreach(space OPENMP CUDA)
  file(STRINGS "${kokkos_config}" enabled REGEX "^#define KOKKOS_ENABLE_${space}$")
  if(enabled)
    string(TOLOWER "${space}" kokkos_space)
  endif()
endforeach()
# For sources that cannot, or need not, read Kokkos' headers.
target_compile_definitions(Kokkos::kokkos INTERFACE
  TESSERA_KOKKOS_VERSION=${kokkos_version} TESSERA_SPACE="${kokkos_space}")

if(TESSERA_REQUIRE_CUDA AND NOT kokkos_space STREQUAL "cuda")
  message(FATAL_ERROR "The Kokkos found at ${Kokkos_DIR} was built without CUDA. Name one built with "
    "Kokkos_ENABLE_CUDA: cmake --preset cuda -DCMAKE_PREFIX_PATH=FOLDER")
endif()
if(kokkos_space STREQUAL "cuda")
  if(CMAKE_CXX_COMPILER MATCHES "nvcc")
    message(FATAL_ERROR "CMAKE_CXX_COMPILER is ${CMAKE_CXX_COMPILER}. Set it to the compiler for the host, for "
      "example g++: nvcc is called for the kernels only.")
  endif()
  set(TESSERA_CUDA ON)
  target_compile_definitions(Kokkos::kokkos INTERFACE TESSERA_CUDA)
  # Kokkos exports nvcc's options as options of C++, for a wrapper around nvcc as the C++ compiler and linker.
  set_target_properties(Kokkos::kokkoscore PROPERTIES
    INTERFACE_COMPILE_OPTIONS "$<$<COMPILE_LANGUAGE:CUDA>:--extended-lambda>"
    INTERFACE_COMPILE_DEFINITIONS "" INTERFACE_LINK_OPTIONS "")
  set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
  set(CMAKE_CUDA_ARCHITECTURES "${Kokkos_CUDA_ARCHITECTURES}")
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # one CUDA runtime for libtessera, the plugins and Kokkos
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER "${CUDAToolkit_NVCC_EXECUTABLE}")  # of the toolkit that Kokkos was built with
  endif()
  enable_language(CUDA)
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_EXTENSIONS OFF)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")  # CMake 3.25.1, Debian's, does not know it
  endif()
endif()

# tessera_compile_kernels(TARGET): nvcc compiles those of the target's sources that include Kokkos, and it takes
# five times as long; the C++ compiler takes all others. A source says so by itself, structure_check holds it to.
function(tessera_compile_kernels target)
  if(NOT TESSERA_CUDA)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}")
    if(source MATCHES "\\.cpp$" AND EXISTS "${source}")
      file(STRINGS "${source}" includes REGEX "^#include \"(tensor/space|compute/parallel)\\.hpp\"")
      if(includes)
        set_source_files_properties("${source}" PROPERTIES LANGUAGE CUDA)
      endif()
    endif()
  endforeach()
endfunction()
