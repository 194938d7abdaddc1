# The local backend: llama.cpp in the worker's process. What needs no llama.cpp is built and tested always.
im_library(im_inference_pure gguf_header.c gpu.c local_bias.c local_fit.c local_grammar.c local_pace.c local_params.c local_prefix.c
  local_schema.c local_text.c LINK im_wire im_base PkgConfig::cjson)
im_test(gpu_test gpu_test.c LINK im_inference_pure)
im_test(gguf_header_test gguf_header_test.c LINK im_inference_pure)
im_test(local_bias_test local_bias_test.c LINK im_inference_pure)
im_test(local_grammar_test local_grammar_test.c LINK im_inference_pure)
im_test(local_pace_test local_pace_test.c LINK im_inference_pure)
im_test(local_prefix_test local_prefix_test.c LINK im_inference_pure)
im_test(local_text_test local_text_test.c LINK im_inference_pure)
im_test(local_params_test local_params_test.c LINK im_inference_pure)
im_fuzz(gguf_header_fuzz gguf_header_fuzz.c LINK im_inference_pure)
im_fuzz(local_grammar_fuzz local_grammar_fuzz.c LINK im_inference_pure)
im_fuzz(local_text_fuzz local_text_fuzz.c LINK im_inference_pure)

# Encrypted model files: 'infermesh model encrypt' makes them without llama.cpp.
im_library(im_inference_sealed sealed.c sealed_file.c sealed_memory.c
  LINK im_inference_pure im_daemon im_sha256 im_base PkgConfig::crypto)
im_test(sealed_test sealed_test.c LINK im_inference_sealed)
im_test(sealed_file_test sealed_file_test.c LINK im_inference_sealed)
im_fuzz(sealed_fuzz sealed_fuzz.c LINK im_inference_sealed)

if(LLAMA_PROVIDER)
  im_library(im_inference_local local.c local_batch.c local_change.c local_devices.c local_embed.c local_engine.c local_file.c local_inputs.c local_job.c local_loader.c local_logprobs.c local_model.c
  local_models.c local_prompt.c local_reuse.c local_sample.c local_seat.c local_spec.c local_vectors.c local_quantize.c local_watch.c
    LINK im_inference_sealed im_inference_pure im_llama im_daemon im_wire im_base PkgConfig::cjson PkgConfig::crypto)
  # Relative, so that a tree of installed files may be moved; then where it was meant to be; then the source tree.
  file(RELATIVE_PATH demo_beside "${CMAKE_INSTALL_FULL_BINDIR}"
    "${CMAKE_INSTALL_FULL_DATADIR}/infermesh/models/demo-q8_0.gguf")
  install(FILES "${CMAKE_SOURCE_DIR}/deploy/models/demo-q8_0.gguf" "${CMAKE_SOURCE_DIR}/deploy/models/README.md"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/infermesh/models")
  target_compile_definitions(im_inference_local PRIVATE
    INFERMESH_DEMO_MODEL_BESIDE="${demo_beside}"
    INFERMESH_DEMO_MODEL_BUILT="${CMAKE_SOURCE_DIR}/deploy/models/demo-q8_0.gguf"
    INFERMESH_DEMO_MODEL_INSTALLED="${CMAKE_INSTALL_FULL_DATADIR}/infermesh/models/demo-q8_0.gguf")
  im_test(local_test local_test.c local_rig.c LINK im_inference_local)
  im_test(local_jobs_test local_jobs_test.c local_rig.c LINK im_inference_local)
  im_test(local_format_test local_format_test.c local_rig.c LINK im_inference_local)
  im_test(local_reuse_test local_reuse_test.c local_rig.c LINK im_inference_local)
  im_test(local_models_test local_models_test.c local_folder.c local_rig.c LINK im_inference_local)
  im_test(local_sealed_test local_sealed_test.c local_folder.c local_rig.c LINK im_inference_local)
  im_test(local_storm_test local_storm_test.c local_folder.c local_rig.c LINK im_inference_local)
  im_test(local_embed_test local_embed_test.c local_embed_rig.c local_rig.c LINK im_inference_local)
  im_test(local_plain_test local_plain_test.c local_embed_rig.c local_rig.c LINK im_inference_local)
  im_test(local_model_test local_model_test.c local_rig.c LINK im_inference_local)
endif()
