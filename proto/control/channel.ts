/**
 * The control plane's channels in one place: message sizes, keepalive, deadlines, and how long
 * to wait before trying again.
 */
import { credentials, type ChannelCredentials, type ClientOptions } from '@grpc/grpc-js';
import {
  CONNECT_TIMEOUT_MS,
  CONTROL_MESSAGE_BYTES_MAX,
  RECONNECT_DELAY_MS_MAX,
  RECONNECT_DELAY_MS_MIN,
} from '../../common/limits.js';

/** How long a unary call (admin) may take. */
export const UNARY_DEADLINE_MS = 60_000;

/** Silence after which a connection is probed, and how long the probe may take. */
const KEEPALIVE_MS = 5_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;

/** Options of every client channel. */
export const CHANNEL_OPTIONS: Partial<ClientOptions> = {
  'grpc.max_receive_message_length': CONTROL_MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': CONTROL_MESSAGE_BYTES_MAX,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': RECONNECT_DELAY_MS_MIN,
  'grpc.min_reconnect_backoff_ms': RECONNECT_DELAY_MS_MIN,
  'grpc.max_reconnect_backoff_ms': RECONNECT_DELAY_MS_MAX,
  'grpc.use_local_subchannel_pool': 1,
  // A proxy configured for the web must not be asked for the cluster's own machines.
  'grpc.enable_http_proxy': 0,
};

/** Options of every server: the same bounds, and probes as frequent as clients send are welcome. */
export const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': CONTROL_MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': CONTROL_MESSAGE_BYTES_MAX,
  'grpc.keepalive_time_ms': KEEPALIVE_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.keepalive_permit_without_calls': 1,
} as const;

export function channelCredentials(): ChannelCredentials {
  return credentials.createInsecure();
}

/** When a unary call that starts now has taken too long. */
export function unaryDeadline(timeoutMs = UNARY_DEADLINE_MS): Date {
  return new Date(Date.now() + timeoutMs);
}

/** When a stream that is being opened must have been welcomed. */
export const WELCOME_TIMEOUT_MS = CONNECT_TIMEOUT_MS * 2;

/** Delays that double from the least to the most, with a random part so that clients spread. */
export class Backoff {
  #attempt = 0;

  constructor(
    private readonly leastMs = RECONNECT_DELAY_MS_MIN,
    private readonly mostMs = RECONNECT_DELAY_MS_MAX,
    private readonly random: () => number = Math.random,
  ) {}

  /** Milliseconds to wait before the next attempt. */
  next(): number {
    const ceiling = Math.min(this.mostMs, this.leastMs * 2 ** this.#attempt);
    this.#attempt = Math.min(this.#attempt + 1, 30);
    return ceiling / 2 + (ceiling / 2) * this.random();
  }

  /** After a success: the next delay is the least again. */
  reset(): void {
    this.#attempt = 0;
  }
}
