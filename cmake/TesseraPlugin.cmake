# tessera_add_plugin(NAME): the .cpp files of the current folder become one plugin, a shared library
# that exports nothing but tessera_plugin().
function(tessera_add_plugin name)
  file(GLOB sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  add_library(plugin_${name} MODULE ${sources})
  tessera_compile_kernels(plugin_${name})
  target_link_libraries(plugin_${name} PRIVATE tessera)
  add_dependencies(plugins plugin_${name})
  set_target_properties(plugin_${name} PROPERTIES
    OUTPUT_NAME ${name} PREFIX ""
    CXX_VISIBILITY_PRESET hidden CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
    LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib/tessera/plugins")
endfunction()
