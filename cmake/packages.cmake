# Libraries that Debian 12 packages; './dev setup' installs them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
foreach(pair IN ITEMS protobufc:libprotobuf-c cjson:libcjson yaml:yaml-0.1 crypto:libcrypto ssl:libssl
        curl:libcurl lz4:liblz4 hiredis:hiredis sqlite:sqlite3 sodium:libsodium)
  string(REPLACE ":" ";" pair "${pair}")
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET GLOBAL ${module})
endforeach()
find_library(NNG_LIBRARY nng REQUIRED)
find_library(MIMALLOC_LIBRARY mimalloc REQUIRED)
find_program(PROTOC_C protoc-c REQUIRED)
if(INFERMESH_TESTS)
  pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET GLOBAL cmocka)
  pkg_check_modules(zstd REQUIRED IMPORTED_TARGET GLOBAL libzstd) # compared with by a benchmark
endif()
