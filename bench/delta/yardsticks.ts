/**
 * Sizes published for the pairs of the delta corpus: the smallest delta of bsdiff, HDiffPatch, xdelta3, zstd, rdiff and
 * full compression, and that of the prototypes of these codecs. A pair that is not listed is compared with the peers
 * that the machine has.
 */
export const YARDSTICKS: Readonly<
  Record<string, { readonly bestPeerBytes: number; readonly prototypeBytes?: number }>
> = {
  "silero-v5-v6": { bestPeerBytes: 1_719_716, prototypeBytes: 1_544_574 },
  "blazepose-lite": { bestPeerBytes: 2_320_172, prototypeBytes: 1_889_541 },
  "blazepose-full": { bestPeerBytes: 5_597_972, prototypeBytes: 4_591_968 },
  "openwakeword-hello": { bestPeerBytes: 289_044 },
  "esbuild-arm64-patch": { bestPeerBytes: 349_935, prototypeBytes: 186_098 },
  "esbuild-arm64-minor": { bestPeerBytes: 1_868_293, prototypeBytes: 1_594_545 },
  "swc-arm64": { bestPeerBytes: 10_251_719 },
  "sherpa-capi-arm64": { bestPeerBytes: 245_565, prototypeBytes: 145_932 },
  "onnxruntime-arm64": { bestPeerBytes: 2_317_335, prototypeBytes: 1_778_388 },
  "tasks-vision-wasm": { bestPeerBytes: 1_379_084 },
  "node-arm64": { bestPeerBytes: 2_273_682, prototypeBytes: 1_855_026 },
  "deb-libcrypto-amd64": { bestPeerBytes: 188_514, prototypeBytes: 107_637 },
  "deb-python-amd64": { bestPeerBytes: 818_034, prototypeBytes: 607_744 },
  "deb-libc-amd64": { bestPeerBytes: 49_494, prototypeBytes: 17_455 },
  "deb-container-libssl3": { bestPeerBytes: 1_904_868 },
  "cfg-agent-yaml": { bestPeerBytes: 87 },
  "cfg-k8s-yaml": { bestPeerBytes: 154 },
  "cfg-lock-json": { bestPeerBytes: 646 },
  "ft-adam1e-5": { bestPeerBytes: 4_856_590, prototypeBytes: 3_744_116 },
  "ft-sgd1e-4": { bestPeerBytes: 3_345_685, prototypeBytes: 2_451_691 },
  "ft-head": { bestPeerBytes: 25_028, prototypeBytes: 18_291 },
  "ft-adam1e-5-fp16": { bestPeerBytes: 1_632_781, prototypeBytes: 868_963 },
  "ft-adam1e-5-bf16": { bestPeerBytes: 806_777, prototypeBytes: 399_670 },
  "ft-adam1e-5-int8": { bestPeerBytes: 162_672, prototypeBytes: 127_168 },
};
