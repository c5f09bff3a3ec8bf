/** The error of a request that went down a chain: says which member failed. */
import type { ErrnoName } from '../../common/errno.js';
import { FsError, type FsErrorDetails } from '../../common/errors.js';

/** A chain member behind the node that was asked failed with `code`. */
export class ChainError extends FsError {
  /** Never 0: an error of the answering node itself is a plain FsError. */
  readonly failedNode: number;

  constructor(code: ErrnoName, failedNode: number, details: FsErrorDetails = {}) {
    super(code, details);
    this.name = 'ChainError';
    this.failedNode = failedNode;
  }
}
