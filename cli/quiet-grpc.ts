/**
 * Imported before anything that loads gRPC, which reads this when it is loaded: its own lines on
 * standard error would stand beside the one that a failure gets from us.
 */
process.env['GRPC_VERBOSITY'] ??= 'NONE';
