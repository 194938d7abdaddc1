# The local backend's llama.cpp. C only unless it is on.
#   WITH_LLAMA  OFF      no local backend
#               AUTO     bundled sources if they are there, else an installed llama.cpp, else off
#               BUNDLED  the tree at LLAMA_SOURCE_DIR (third_party/fetch-llama.sh)
#               SYSTEM   find_package(llama)
# Sets LLAMA_PROVIDER to "", bundled or system; link the target im_llama.
set(WITH_LLAMA "AUTO" CACHE STRING "in-process llama.cpp backend: OFF, AUTO, BUNDLED, SYSTEM")
set_property(CACHE WITH_LLAMA PROPERTY STRINGS OFF AUTO BUNDLED SYSTEM)
set(_llama_dir "${CMAKE_SOURCE_DIR}/.cache/llama")
if(DEFINED ENV{INFERMESH_LLAMA_DIR}) # as for third_party/fetch-llama.sh
  set(_llama_dir "$ENV{INFERMESH_LLAMA_DIR}")
endif()
set(LLAMA_PREBUILT_DIR "${_llama_dir}" CACHE PATH
  "where third_party/fetch-llama.sh installed llama.cpp (include/, lib/)")
set(LLAMA_PROVIDER "")
if(NOT WITH_LLAMA STREQUAL "OFF")
  if(NOT WITH_LLAMA STREQUAL "SYSTEM" AND EXISTS "${LLAMA_PREBUILT_DIR}/lib/libllama.a")
    set(LLAMA_PROVIDER bundled)
  elseif(NOT WITH_LLAMA STREQUAL "BUNDLED")
    enable_language(CXX)
    find_package(llama CONFIG QUIET)
    if(llama_FOUND)
      set(LLAMA_PROVIDER system)
    endif()
  endif()
  if(NOT LLAMA_PROVIDER AND NOT WITH_LLAMA STREQUAL "AUTO")
    message(FATAL_ERROR "WITH_LLAMA=${WITH_LLAMA}, but llama.cpp was not found; run third_party/fetch-llama.sh")
  endif()
endif()

add_library(im_llama INTERFACE)
if(LLAMA_PROVIDER STREQUAL "bundled")
  # Static libraries in C++: the linker needs their order and the C++ runtime, the compiler only C headers.
  target_include_directories(im_llama SYSTEM INTERFACE "${LLAMA_PREBUILT_DIR}/include")
  target_link_libraries(im_llama INTERFACE "${LLAMA_PREBUILT_DIR}/lib/libllama.a"
    "${LLAMA_PREBUILT_DIR}/lib/libggml.a" "${LLAMA_PREBUILT_DIR}/lib/libggml-cpu.a"
    "${LLAMA_PREBUILT_DIR}/lib/libggml-base.a" stdc++ m ${CMAKE_DL_LIBS} Threads::Threads)
elseif(LLAMA_PROVIDER STREQUAL "system")
  target_link_libraries(im_llama INTERFACE llama stdc++)
endif()
if(LLAMA_PROVIDER)
  target_compile_definitions(im_llama INTERFACE HAVE_LLAMA=1)
endif()
message(STATUS "local backend (llama.cpp): ${LLAMA_PROVIDER}")
