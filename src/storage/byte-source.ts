/** Something that can be sent. */
export interface ByteSource {
  /** Bytes in all; null while that is unknown. */
  readonly size: number | null
  /**
   * Reads from `position` into the start of `buffer`; how many bytes came, which may be fewer than fit; 0 is the end.
   * It may wait for bytes that are still on their way, and rejects when they turn out to be bad.
   */
  read(buffer: Buffer, position: number): Promise<number>
  /** Must be called once and may be called again, also while a read is waiting: that read then settles soon. */
  close(): void
}
