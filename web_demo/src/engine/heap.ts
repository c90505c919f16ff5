/** The memory of WebAssembly that the engine makes for itself: how large it is, and how large it may become. */

const PAGE_BYTES = 65_536;
/** Of 32-bit WebAssembly. */
export const MOST_HEAP_BYTES = 4 * 2 ** 30;

let heap: WebAssembly.Memory | null = null;

/** Watch the memories that are made from now on. It must run before the engine starts. */
export function watchHeap(limitBytes: number = MOST_HEAP_BYTES): void {
  const Plain = WebAssembly.Memory;
  WebAssembly.Memory = class extends Plain {
    constructor(descriptor: WebAssembly.MemoryDescriptor) {
      const pages = Math.floor(limitBytes / PAGE_BYTES);
      super({ ...descriptor, maximum: Math.max(descriptor.initial, Math.min(descriptor.maximum ?? pages, pages)) });
      heap = this;
    }
  };
}

/** Bytes that the engine has taken. They never become fewer: what is freed is used again by what follows. */
export function heapBytes(): number {
  return heap?.buffer.byteLength ?? 0;
}
