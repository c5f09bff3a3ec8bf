/**
 * Errors across gRPC: an errno crosses unchanged, in the trailer; the status code is for tools
 * that know gRPC only. Both directions are here.
 */
import { Metadata, status, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { ERRNO, type ErrnoName } from '../../common/errno.js';
import { FsError, toFsError } from '../../common/errors.js';

export const ERRNO_METADATA_KEY = 'cairn-errno';

const STATUS_OF: Partial<Record<ErrnoName, status>> = {
  ENOENT: status.NOT_FOUND,
  EEXIST: status.ALREADY_EXISTS,
  EINVAL: status.INVALID_ARGUMENT,
  EACCES: status.PERMISSION_DENIED,
  EPERM: status.PERMISSION_DENIED,
  EAGAIN: status.UNAVAILABLE,
  EBUSY: status.FAILED_PRECONDITION,
  EPROTO: status.FAILED_PRECONDITION,
  ESTALE: status.FAILED_PRECONDITION,
  ENOSPC: status.RESOURCE_EXHAUSTED,
  ETIMEDOUT: status.DEADLINE_EXCEEDED,
  EINTR: status.CANCELLED,
};

const ERRNO_OF: Partial<Record<status, ErrnoName>> = {
  [status.CANCELLED]: 'EINTR',
  [status.DEADLINE_EXCEEDED]: 'ETIMEDOUT',
  [status.UNAVAILABLE]: 'ECONNRESET',
  [status.UNIMPLEMENTED]: 'EPROTO',
  [status.RESOURCE_EXHAUSTED]: 'EOVERFLOW',
};

/** What a service ends a call with, or destroys its stream with. */
export type ErrorStatus = Error & Pick<StatusObject, 'code' | 'details' | 'metadata'>;

/** Any error as a gRPC status; what is not an FsError crosses as EIO. */
export function toStatus(error: unknown): ErrorStatus {
  const failure = toFsError(error);
  const metadata = new Metadata();
  metadata.set(ERRNO_METADATA_KEY, String(ERRNO[failure.code]));
  const details = failure.message.replace(`${failure.code}: `, '');
  return Object.assign(new Error(details), {
    code: STATUS_OF[failure.code] ?? status.UNKNOWN,
    details,
    metadata,
  });
}

/** The FsError that crossed; for gRPC's own failures the nearest errno (EIO by default). */
export function fromStatus(error: ServiceError): FsError {
  const [errno] = error.metadata?.get(ERRNO_METADATA_KEY) ?? [];
  const number = Number(errno);
  if (Number.isInteger(number) && number > 0) return FsError.fromErrno(number, error.details);
  return new FsError(ERRNO_OF[error.code] ?? 'EIO', { message: error.details, cause: error });
}

/** Did the peer itself refuse, rather than the way to it fail? */
export function isPeerRefusal(error: ServiceError): boolean {
  return (error.metadata?.get(ERRNO_METADATA_KEY) ?? []).length > 0;
}
