# SPDX-License-Identifier: Apache-2.0
# retort-cuda.so: every .cu file compiled by nvcc (12.8 or later) for three generations of devices, warnings as errors, linked with
# cuBLAS. RETORT_CUDA: ON (an error without nvcc), OFF, or AUTO: ON where nvcc is found and no tests are built (trees of tests would
# compile it once more each; tests/check.sh builds it in a tree of its own). What ptxas says of each file is kept in NAME.ptxas for
# tests/cuda/compile.sh.
set(RETORT_CUDA AUTO CACHE STRING "build the CUDA plugin: ON, OFF or AUTO")
set(RETORT_CUDA_ARCHS 80 90 100 CACHE STRING "device generations to compile for")
find_program(NVCC nvcc HINTS /usr/local/cuda/bin $ENV{CUDA_HOME}/bin)
set(NVCC_VERSION 0)
if(NVCC)
  execute_process(COMMAND ${NVCC} --version OUTPUT_VARIABLE nvcc_says)
  string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" nvcc_says "${nvcc_says}")
  set(NVCC_VERSION ${CMAKE_MATCH_1})
endif()
file(GLOB CUDA_FILES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu ${CMAKE_SOURCE_DIR}/train/*.cu)
set(CUDA_WANTED ${RETORT_CUDA})
if(RETORT_CUDA STREQUAL "AUTO")
  set(CUDA_WANTED OFF)
  if(NVCC_VERSION VERSION_GREATER_EQUAL 12.8 AND NOT RETORT_TESTS)
    set(CUDA_WANTED ON)
  endif()
elseif(RETORT_CUDA AND NVCC_VERSION VERSION_LESS 12.8)
  message(FATAL_ERROR "RETORT_CUDA is ON, but nvcc 12.8 or later was not found (found: ${NVCC} ${NVCC_VERSION}); put it into PATH")
endif()

if(CUDA_WANTED)
  get_filename_component(CUDA_ROOT ${NVCC} REALPATH)
  get_filename_component(CUDA_ROOT ${CUDA_ROOT}/../.. ABSOLUTE)
  find_library(CUBLAS cublas HINTS ${CUDA_ROOT}/lib64 ${CUDA_ROOT}/lib)
  set(CUDA_FLAGS -std=c++17 -O3 -fmad=false -Werror all-warnings -Xcompiler -Wall,-Wextra,-Werror,-fPIC,-fvisibility=hidden,-ffp-contract=off
    -Xptxas -v -D_GNU_SOURCE -DRETORT_KERNEL_BUILD="${KERNEL_BUILD}" -I${CMAKE_SOURCE_DIR}/core -I${CMAKE_SOURCE_DIR}/kernels
    -I${CMAKE_SOURCE_DIR}/kernels/cpu -I${CMAKE_SOURCE_DIR}/kernels/cuda -I${CMAKE_SOURCE_DIR}/train)
  foreach(arch ${RETORT_CUDA_ARCHS})
    list(APPEND CUDA_FLAGS -gencode arch=compute_${arch},code=sm_${arch})
  endforeach()
  find_library(NCCL nccl HINTS ${CUDA_ROOT}/lib64 ${CUDA_ROOT}/lib)
  find_path(NCCL_INCLUDE nccl.h HINTS ${CUDA_ROOT}/include)
  if(NCCL AND NCCL_INCLUDE)
    list(APPEND CUDA_FLAGS -DRETORT_NCCL -I${NCCL_INCLUDE})
  else()
    message(STATUS "NCCL was not found: the plugin trains on one device")
    set(NCCL "")
  endif()
  set(CUDA_OBJECTS "")
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/cuda)
  foreach(f ${CUDA_FILES})
    get_filename_component(name ${f} NAME_WE)
    set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
    string(REPLACE " " "\\ " object_in_makefile ${object})
    add_custom_command(OUTPUT ${object}
      COMMAND sh -c "log=$1; shift; \"$@\" >\"$log\" 2>&1 || { cat \"$log\"; exit 1; }" nvcc ${CMAKE_BINARY_DIR}/cuda/${name}.ptxas
        ${NVCC} ${CUDA_FLAGS} -MD -MF ${CMAKE_BINARY_DIR}/cuda/${name}.d -MT ${object_in_makefile} -c ${f} -o ${object}
      DEPENDS ${f} DEPFILE ${CMAKE_BINARY_DIR}/cuda/${name}.d COMMENT "nvcc ${name}.cu" VERBATIM)
    list(APPEND CUDA_OBJECTS ${object})
  endforeach()
  add_library(cuda_types OBJECT ${CMAKE_SOURCE_DIR}/kernels/kernel.c)
  target_compile_options(cuda_types PRIVATE -fPIC -fvisibility=hidden)
  if(CUBLAS)
    get_filename_component(CUBLAS_FOLDER ${CUBLAS} DIRECTORY)
    add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/retort-cuda.so
      COMMAND ${NVCC} -shared -o ${CMAKE_BINARY_DIR}/retort-cuda.so ${CUDA_OBJECTS} $<TARGET_OBJECTS:cuda_types> ${CUBLAS} ${NCCL} -Xlinker -rpath=${CUBLAS_FOLDER}
      DEPENDS ${CUDA_OBJECTS} cuda_types COMMENT "linking retort-cuda.so" VERBATIM COMMAND_EXPAND_LISTS)
    add_custom_target(retort-cuda ALL DEPENDS ${CMAKE_BINARY_DIR}/retort-cuda.so)
    install(FILES ${CMAKE_BINARY_DIR}/retort-cuda.so DESTINATION ${CMAKE_INSTALL_BINDIR}) # the binary looks for it beside itself
  else()
    message(STATUS "cuBLAS was not found beside nvcc: the CUDA sources are compiled, retort-cuda.so is not linked")
    add_custom_target(retort-cuda ALL DEPENDS ${CUDA_OBJECTS})
  endif()
endif()
