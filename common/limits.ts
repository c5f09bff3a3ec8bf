/**
 * Every bound of the system, named, with the relations between them asserted below.
 * Sizes in bytes, times in milliseconds. Unit and qualifier last.
 */
import assert from 'node:assert/strict';

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** Version of the control and data protocols; both ends must agree exactly. */
export const PROTOCOL_VERSION = 1;

// Names and files.
export const NAME_BYTES_MAX = 255;
/** A symlink's target: PATH_MAX of Linux less its terminating zero. */
export const SYMLINK_BYTES_MAX = 4095;
export const LINKS_MAX = 2 ** 31 - 1;
export const CHUNK_BYTES = 64 * MIB;
/** Largest file: what a signed 64-bit offset that stays a safe integer in JavaScript allows. */
export const FILE_BYTES_MAX = 2 ** 53 - CHUNK_BYTES;
/** Checksums cover this much each: the page size, so a page write never reads a block first. */
export const BLOCK_BYTES = 4 * KIB;
/** One bit for each block of a chunk. */
export const BLOCK_MAP_BYTES = CHUNK_BYTES / BLOCK_BYTES / 8;
export const INLINE_BYTES_MAX_DEFAULT = 16 * KIB;
/** What an operator may configure at most: inline data travels in control messages. */
export const INLINE_BYTES_MAX = 256 * KIB;
export const REPLICATION_MAX = 16;
/** XATTR_NAME_MAX, XATTR_SIZE_MAX and XATTR_LIST_MAX of linux/limits.h. */
export const XATTR_NAME_BYTES_MAX = 255;
export const XATTR_VALUE_BYTES_MAX = 64 * KIB;
export const XATTR_LIST_BYTES_MAX = 64 * KIB;
/** What the kernel has room for when it reads an ACL: a page. */
export const ACL_BYTES_MAX = 4 * KIB;

// The control plane.
export const CONTROL_MESSAGE_BYTES_MAX = 8 * MIB;
/** Operations of one client that may be unanswered; more wait in the client. */
export const OPERATIONS_IN_FLIGHT_MAX = 512;
/** Operations in one frame, in either direction. */
export const OPERATIONS_PER_FRAME_MAX = 256;
/** Answers to keyed operations that the master keeps for each session. */
export const COMPLETED_KEPT_PER_SESSION = 2048;
/** Ended sessions whose answers are kept, for clients that come back under a new one. */
export const ENDED_SESSIONS_KEPT_MAX = 256;
/** How long each of them is kept. */
export const ENDED_SESSION_KEPT_MS = 24 * 3_600_000;
export const SESSION_LEASE_MS = 15_000;
/** Appends of a client that nobody was told of; a commit names at most as many. */
export const APPENDS_REMEMBERED_MAX = 512;
/** The shortest lease that a master may be told to give. */
export const SESSION_LEASE_MS_MIN = 5_000;
/** How long a restarted master waits for its sessions before it ends what they held. */
export const RECLAIM_GRACE_MS = 20_000;
export const SESSIONS_MAX = 4096;
/** A connection that has not said hello by then is closed. */
export const HELLO_TIMEOUT_MS = 10_000;
/** A session alive but with a recall unacknowledged for this long is ended: others wait for it. */
export const RECALL_TIMEOUT_MS = 60_000;
/** Made to write back, a session may not hold written data of that file back again for this long. */
export const WRITE_BACK_PAUSE_MS = 200;
/** Writes and reads of a session that share one turn with a file which others have open. */
export const TASKS_PER_TURN_MAX = 64;
/** How often an operation waits for others to write back before it fails with EAGAIN. */
export const SETTLE_ATTEMPTS_MAX = 64;
/** Keyed operations of a session between two prunings of their stored answers. */
export const COMPLETED_PRUNE_EVERY = 256;
/** Locks (ranges of one type and owner) of one session; ENOLCK beyond. */
export const LOCKS_PER_SESSION_MAX = 16_384;
/** Blocked lock requests of one session. */
export const LOCK_WAITS_PER_SESSION_MAX = 16_384;
/** How long a lock request yields to an earlier one that is still waiting, least and most. */
export const LOCK_YIELD_MS_MIN = 1_000;
export const LOCK_YIELD_MS_MAX = 60_000;
/** How long a list of locks waits for the sessions that decide about some themselves. */
export const LOCK_REPORT_MS = 2_000;
export const DIRECTORY_PAGE_ENTRIES_MAX = 1024;
export const HANDLES_PER_SESSION_MAX = 65_536;
/** Inodes whose attributes, names or content one session may cache under a recall promise. */
export const CACHED_INODES_PER_SESSION_MAX = 65_536;

// The master's database.
export const DATABASE_CACHE_BYTES = 64 * MIB;
/** Checked page by page before it is opened, where it is at most this large. */
export const DATABASE_CHECK_BYTES_MAX = 32 * MIB;
/** Pages in the write-ahead log before a commit moves them into the database. */
export const DATABASE_WAL_PAGES_MAX = 4096;
/** Operations that share one transaction; those after them wait for the next. */
export const OPERATIONS_PER_TRANSACTION_MAX = 2048;

// Datanodes.
export const HEARTBEAT_MS = 1_000;
/** Silent for this long, a node gets no new chunks and no reads. */
export const NODE_AWAY_MS = 5_000;
/** Silent for this long, a node is given up and its chunks are copied elsewhere. */
export const NODE_DEAD_MS_DEFAULT = 30_000;
export const NODES_MAX = 4096;
export const REPAIRS_RUNNING_MAX = 8;
export const REPAIRS_PER_NODE_MAX = 2;
/** Chunks whose replicas are being made equal at once. */
export const RECONCILES_RUNNING_MAX = 4;
/** Left free on each disk so that a full node can still delete and compact. */
export const DISK_RESERVE_BYTES_DEFAULT = 256 * MIB;
export const REPLICA_REPORT_PAGE = 4096;

// The master and its datanodes.
/** A datanode that has not confirmed an order for this long is left out of what it was for. */
export const ORDER_TIMEOUT_MS = 4_000;
/** Copying one chunk, or reading and checking it, takes no longer. */
export const LONG_ORDER_TIMEOUT_MS = 120_000;
/** Unconfirmed orders of one datanode. */
export const ORDERS_PER_NODE_MAX = 1024;
/** Rows of a background task's transaction, so that operations never wait long for it. */
export const BACKGROUND_ROWS_PER_TRANSACTION_MAX = 512;
/** Chunks freed in one transaction, whose delete orders are confirmed before the next. */
export const RECLAIM_BATCH_MAX = 256;
/** How often background tasks look for work that nobody announced. */
export const BACKGROUND_IDLE_MS = 1_000;
/** A chunk whose repair failed is tried again after this long, doubling up to the maximum. */
export const REPAIR_RETRY_MS_MIN = 500;
export const REPAIR_RETRY_MS_MAX = 30_000;
/** Failed repairs remembered; the oldest is forgotten, and so tried again sooner. */
export const REPAIRS_REMEMBERED_MAX = 4096;
/** Replicas being checked because somebody found them bad; more reports are dropped. */
export const DAMAGE_CHECKS_RUNNING_MAX = 8;
export const DAMAGE_CHECKS_WAITING_MAX = 1024;
/** Chunks that one session may hold a lease on. */
export const CHUNK_LEASES_PER_SESSION_MAX = 16_384;
/** Chunks known to hold nothing after their committed length; the oldest is forgotten. */
export const TIDY_CHUNKS_REMEMBERED_MAX = 65_536;
/** Chunks that one request shares between two files. */
export const CHUNKS_SHARED_AT_ONCE_MAX = 1024;
/** Shared chunks that fsck remembers to have counted. */
export const FSCK_SHARED_CHUNKS_MAX = 1_048_576;
export const FSCK_VERIFIES_RUNNING_MAX = 4;
/** Entries or chunks that fsck reads before it lets others in. */
export const FSCK_PAGE = 256;
/** Files with several links that fsck counts the names of. */
export const FSCK_LINKED_FILES_MAX = 262_144;
/** Chunks of one file that `inspect` lists. */
export const CHUNKS_INSPECTED_MAX = 16_384;

// The data plane.
export const FRAME_PAYLOAD_BYTES_MAX = MIB;
export const CHAIN_LENGTH_MAX = REPLICATION_MAX;
/** Requests of one connection that a datanode works on; it stops reading the socket past that. */
export const REQUESTS_PER_CONNECTION_MAX = 64;
export const CONNECTIONS_PER_DATANODE_MAX = 1024;
/** A data request unanswered for this long has failed. */
export const DATA_REQUEST_TIMEOUT_MS = 20_000;
export const CONNECT_TIMEOUT_MS = 3_000;
/** Added to the timeout for each chain member behind the one asked, so that the nearest fails first. */
export const DATA_CHAIN_HOP_MS = 5_000;
/** A failed connect is not tried again for this long. */
export const DATA_CONNECT_RETRY_MS = 1_000;
/** A data connection without a request for this long is closed. */
export const DATA_CONNECTION_IDLE_MS = 60_000;
/** The message of an error reply. */
export const FRAME_MESSAGE_BYTES_MAX = 1024;
export const CLUSTER_ID_BYTES_MAX = 64;
/** The reply to HELLO: the cluster id, and where a node on this machine keeps its chunks. */
export const GREETING_BYTES_MAX = 8 * KIB;
/** Host name of a chain member: its length is one byte on the wire. */
export const HOST_BYTES_MAX = 255;
/** Payload bytes of one connection that a datanode holds; it stops reading the socket past that. */
export const BYTES_PER_CONNECTION_MAX = 16 * MIB;
/** Chunk files that a datanode keeps open, each with its checksum table (64 KiB) in memory. */
export const OPEN_CHUNKS_MAX = 256;
/** Writes up to this long are made without the thread pool: they only reach the page cache. */
export const SYNC_WRITE_BYTES_MAX = 64 * KIB;
/** Blocks that become zeros are given back to the disk from this on; fewer are written as zeros. */
export const PUNCH_BYTES_MIN = 64 * KIB;
/** Reads up to this long may be made without the thread pool, while they are found in memory. */
export const SYNC_READ_BYTES_MAX = 64 * KIB;
/** Payload buffers that a datanode keeps for reuse. */
export const BUFFERS_KEPT_MAX = 24;
/** Granularity of a datanode's write-intent marks: one bit each, 64 for a chunk. */
export const INTENT_REGION_BYTES = MIB;
/** Chunks that may carry a write-intent mark; beyond that the oldest are synced and cleared. */
export const INTENT_MARKS_MAX = 16_384;
/** A chunk not written for this long is synced and its mark cleared. */
export const INTENT_IDLE_MS = 30_000;
/** How often a datanode tells of replicas that it does not trust since its machine crashed. */
export const UNTRUSTED_REPORT_MS = 5_000;
/** Requests that may wait for one chunk; more are refused with EBUSY. */
export const REQUESTS_PER_CHUNK_MAX = 1024;
/** Orders of the master that a datanode works on; it stops reading the stream past that. */
export const ORDERS_RUNNING_MAX = 64;
/** READs that a copy keeps in flight. */
export const COPY_READS_IN_FLIGHT = 4;
/** Damaged chunks that a datanode without its master remembers to report. */
export const DAMAGE_WAITING_MAX = 1024;

// The client.
/** Dirty bytes of one file before its writers wait. */
export const DIRTY_BYTES_PER_FILE_MAX = 32 * MIB;
/** Dirty bytes of one client; also the size of a mount's write journal. */
export const DIRTY_BYTES_MAX = 64 * MIB;
/** Names that a client keeps of directories it knows whole, in all; some 100 bytes each. */
export const DIRECTORY_NAMES_CACHED_MAX = 131_072;
/** Listings from which a client learns all names of a directory, at the same time. */
export const DIRECTORY_LISTINGS_MAX = 8;
/** A message that nobody waits for leaves with the next that somebody does, or after this. */
export const LAZY_OPERATION_MS = 5;
export const READ_AHEAD_BYTES_MAX = 4 * MIB;
export const READ_CACHE_BYTES_MAX = 64 * MIB;
/** Chunk files of datanodes on this machine that a client keeps open. */
export const LOCAL_REPLICAS_OPEN_MAX = 128;
/** One that is not read for this long is closed: it may have been deleted. */
export const LOCAL_REPLICA_IDLE_MS = 5_000;
/** Data frames of one file that may be unacknowledged. */
export const FRAMES_IN_FLIGHT_PER_FILE_MAX = 16;
/** Acknowledged but uncommitted bytes of one file after which a commit is sent. */
export const UNCOMMITTED_BYTES_MAX = 16 * MIB;
/** Chunks of one file that an fsync syncs at the same time. */
export const CHUNK_SYNCS_AT_ONCE = 16;
/** Closed files of which a client knows what an fsync has to sync; of others it is everything. */
export const CLOSED_FILES_REMEMBERED_MAX = 4096;
/** Files whose lost writes a client remembers, to tell their next user. */
export const LOST_WRITES_REMEMBERED_MAX = 4096;
/** A connection that broke is tried again after this long; the delay doubles up to the most. */
export const RECONNECT_DELAY_MS_MIN = 50;
export const RECONNECT_DELAY_MS_MAX = 2_000;
/**
 * How long an interrupted call still waits for its answer. Programs with timers (git) send
 * themselves signals all the time, and no local file system answers those with EINTR.
 */
export const INTERRUPT_GRACE_MS = 1_000;
/** Opens taken over from a dead worker at the same time. */
export const RECONNECTED_OPENS_AT_ONCE = 256;
/** Symbolic links followed in one path walk (MAXSYMLINKS of Linux). */
export const SYMLINKS_FOLLOWED_MAX = 40;

// The mount.
/** Largest READ or WRITE of the kernel: its own limit of 256 pages. */
export const MOUNT_REQUEST_BYTES_MAX = MIB;
/** Reads parked on /dev/fuse; each occupies a thread of the worker's pool. */
export const MOUNT_READERS = 2;
/** Notifications of names, of pages being told to the kernel; each may block a pool's thread. */
export const MOUNT_NAMES_TOLD_MAX = 6;
export const MOUNT_PAGES_TOLD_MAX = 4;
/** UV_THREADPOOL_SIZE of a mount's worker. */
export const MOUNT_THREADS = 16;
/** Asynchronous requests (read-ahead, release) that the kernel keeps with the worker at once. */
export const MOUNT_BACKGROUND_MAX = 256;
/** Large request buffers kept for reuse. */
export const MOUNT_BUFFERS_KEPT_MAX = 8;
/** So often a read is done anew whose file was recalled before it was answered; then in a turn. */
export const READ_AGAIN_MAX = 1;
/** And so often in its turn, for truncations of its own client. */
export const READ_IN_TURN_AGAIN_MAX = 8;
/** A recall is acknowledged after this even if the kernel has not taken the notification. */
export const MOUNT_NOTIFICATION_WAIT_MS = 1_000;
/** A name that the kernel has not taken back after this is made stale with all others. */
export const MOUNT_NAME_WAIT_MS = 20;
/** So long a recall waits for pages that a request of the mount itself keeps locked. */
export const MOUNT_PAGES_WAIT_MS = 20;
/** An operation interrupted by a signal that does not kill its process goes on for this long. */
export const MOUNT_INTERRUPT_GRACE_MS = 5_000;
/** Inodes for which a mount remembers what the kernel's caches hold. */
export const MOUNT_NODES_REMEMBERED_MAX = 65_536;
/** How long the first worker may take to reach the master before the mount is given up. */
export const MOUNT_CONNECT_TIMEOUT_MS = 15_000;
/** Pause before a dead worker is replaced: doubles from the first to the second. */
export const MOUNT_RESTART_MS_MIN = 50;
export const MOUNT_RESTART_MS_MAX = 5_000;
/** How long an unmount waits for a worker that does not answer. */
export const MOUNT_STOP_TIMEOUT_MS = 10_000;
/** Largest READ or WRITE through libfuse 2, whose buffer has room for this and a header. */
export const NATIVE_REQUEST_BYTES_MAX = 128 * KIB;
/** How often it is looked whether libfuse has ended, which it does not say. */
export const NATIVE_END_CHECK_MS = 100;

assert(CHUNK_BYTES % FRAME_PAYLOAD_BYTES_MAX === 0);
assert(FRAME_PAYLOAD_BYTES_MAX % BLOCK_BYTES === 0);
assert(CHUNK_BYTES / INTENT_REGION_BYTES === 64);
assert(FRAME_PAYLOAD_BYTES_MAX <= BYTES_PER_CONNECTION_MAX);
assert(FRAME_MESSAGE_BYTES_MAX <= FRAME_PAYLOAD_BYTES_MAX);
assert(INLINE_BYTES_MAX_DEFAULT <= INLINE_BYTES_MAX);
assert(INLINE_BYTES_MAX * 2 < CONTROL_MESSAGE_BYTES_MAX);
assert(OPERATIONS_IN_FLIGHT_MAX + APPENDS_REMEMBERED_MAX < COMPLETED_KEPT_PER_SESSION);
assert(HEARTBEAT_MS * 3 <= NODE_AWAY_MS && NODE_AWAY_MS < NODE_DEAD_MS_DEFAULT);
assert(SESSION_LEASE_MS < RECLAIM_GRACE_MS);
assert(DIRTY_BYTES_PER_FILE_MAX <= DIRTY_BYTES_MAX);
assert(UNCOMMITTED_BYTES_MAX <= DIRTY_BYTES_PER_FILE_MAX);
assert(ORDER_TIMEOUT_MS < SESSION_LEASE_MS_MIN && ORDER_TIMEOUT_MS < NODE_AWAY_MS);
assert(MOUNT_READERS + MOUNT_NAMES_TOLD_MAX + MOUNT_PAGES_TOLD_MAX + 4 <= MOUNT_THREADS);
assert(MOUNT_NOTIFICATION_WAIT_MS * 4 < SESSION_LEASE_MS_MIN);
