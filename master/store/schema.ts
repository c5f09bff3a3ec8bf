/**
 * The database's schema as numbered migrations. Append only: a migration that has been released
 * is never edited. `PRAGMA user_version` holds the number of the last one applied.
 */

export const MIGRATIONS: readonly string[] = [
  /* 1 */ `
  -- Facts about the cluster: 'cluster' (its id), 'replication', 'created'.
  CREATE TABLE config (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) WITHOUT ROWID, STRICT;

  -- Ids are handed out from blocks reserved here, so that none is ever given twice.
  CREATE TABLE id_block (
    kind TEXT PRIMARY KEY,     -- 'inode', 'chunk', 'position', 'session', 'node'
    next INTEGER NOT NULL      -- first id not yet reserved
  ) WITHOUT ROWID, STRICT;

  CREATE TABLE inode (
    id           INTEGER PRIMARY KEY,
    mode         INTEGER NOT NULL,  -- type and permission bits, as st_mode
    uid          INTEGER NOT NULL,
    gid          INTEGER NOT NULL,
    nlink        INTEGER NOT NULL,  -- of a directory: 2 and one for each subdirectory
    size         INTEGER NOT NULL,  -- bytes
    allocated    INTEGER NOT NULL,  -- bytes in chunks or inline
    atime_s      INTEGER NOT NULL,
    atime_ns     INTEGER NOT NULL,
    mtime_s      INTEGER NOT NULL,
    mtime_ns     INTEGER NOT NULL,
    ctime_s      INTEGER NOT NULL,
    ctime_ns     INTEGER NOT NULL,
    btime_s      INTEGER NOT NULL,
    btime_ns     INTEGER NOT NULL,
    rdev         INTEGER NOT NULL,
    data_version INTEGER NOT NULL,  -- rises with every change of the content
    replication  INTEGER NOT NULL,  -- copies wanted; of a directory: what new entries inherit
    parent       INTEGER NOT NULL,  -- of a directory; 0 of anything else
    target       BLOB               -- of a symlink
  ) STRICT;

  CREATE TABLE entry (
    parent   INTEGER NOT NULL,
    name     BLOB    NOT NULL,
    inode    INTEGER NOT NULL,
    type     INTEGER NOT NULL,      -- type bits of st_mode
    position INTEGER NOT NULL,      -- where readdir finds it; never given to another entry
    PRIMARY KEY (parent, name)
  ) WITHOUT ROWID, STRICT;
  CREATE UNIQUE INDEX entry_position ON entry (parent, position);

  CREATE TABLE xattr (
    inode INTEGER NOT NULL,
    name  BLOB    NOT NULL,
    value BLOB    NOT NULL,
    PRIMARY KEY (inode, name)
  ) WITHOUT ROWID, STRICT;

  CREATE TABLE inline_data (
    inode INTEGER PRIMARY KEY,
    bytes BLOB NOT NULL             -- may be shorter than the file: the rest reads as zeros
  ) STRICT;

  CREATE TABLE chunk (
    id         INTEGER PRIMARY KEY,
    version    INTEGER NOT NULL,    -- rises when the set of replicas being written shrinks
    refs       INTEGER NOT NULL,    -- file_chunk rows that name it
    length     INTEGER NOT NULL,    -- committed bytes; the rest reads as zeros
    copies     INTEGER NOT NULL,    -- wanted
    missing    INTEGER NOT NULL,    -- wanted less those on nodes not given up; below 0: surplus
    written    INTEGER NOT NULL,    -- 0 until the first commit: replicas may have no file yet
    trim       INTEGER NOT NULL     -- not 0: replicas may be longer than 'length'; store/chunks.ts
  ) STRICT;
  -- By copies left, so that repair finds the most endangered first.
  CREATE INDEX chunk_missing ON chunk (copies - missing, id) WHERE missing > 0;
  CREATE INDEX chunk_surplus ON chunk (id) WHERE missing < 0;
  CREATE INDEX chunk_unreferenced ON chunk (id) WHERE refs = 0;

  CREATE TABLE file_chunk (
    inode INTEGER NOT NULL,
    idx   INTEGER NOT NULL,         -- offset in the file divided by the chunk size
    chunk INTEGER NOT NULL,
    PRIMARY KEY (inode, idx)
  ) WITHOUT ROWID, STRICT;
  CREATE INDEX file_chunk_chunk ON file_chunk (chunk);

  CREATE TABLE replica (
    chunk INTEGER NOT NULL,
    node  INTEGER NOT NULL,
    PRIMARY KEY (chunk, node)
  ) WITHOUT ROWID, STRICT;
  CREATE INDEX replica_node ON replica (node, chunk);

  CREATE TABLE node (
    id    INTEGER PRIMARY KEY,
    uuid  TEXT    NOT NULL UNIQUE,  -- made by the datanode, kept on its disk
    host  TEXT    NOT NULL,
    port  INTEGER NOT NULL,
    dead  INTEGER NOT NULL,         -- 1: given up; its replicas count for nothing
    recount INTEGER NOT NULL        -- 1: 'missing' of its chunks is not yet brought up to date
  ) STRICT;

  CREATE TABLE session (
    id      INTEGER PRIMARY KEY,
    secret  TEXT NOT NULL,
    kind    TEXT NOT NULL,          -- 'mount', 'library', 'command'
    host    TEXT NOT NULL,
    pid     INTEGER NOT NULL
  ) STRICT;

  -- First answers to keyed operations, so that one sent again is not applied again.
  CREATE TABLE completed (
    session INTEGER NOT NULL,
    key     INTEGER NOT NULL,
    reply   BLOB    NOT NULL,       -- encoded Result
    PRIMARY KEY (session, key)
  ) WITHOUT ROWID, STRICT;

  -- Inodes without a name, to be reclaimed when no session holds them open.
  CREATE TABLE orphan (
    inode INTEGER PRIMARY KEY
  ) STRICT;
  `,
  /* 2: bits of proto/control/inode-flags.ts */ `
  ALTER TABLE inode ADD COLUMN flags INTEGER NOT NULL DEFAULT 0;
  UPDATE inode SET flags = 1 WHERE id IN (SELECT inode FROM xattr);
  `,
  /* 3: holes within chunks, and chunks of several files */ `
  ALTER TABLE chunk ADD COLUMN data INTEGER NOT NULL DEFAULT 0; -- bytes in blocks that are not zeros
  UPDATE chunk SET data = length;
  -- How much of the chunk is the file's, where that is less than it holds; else NULL.
  ALTER TABLE file_chunk ADD COLUMN length INTEGER;
  `,
  /* 4 */ `
  -- Chunks whose replicas may differ: those being written, those whose writer was lost.
  CREATE TABLE unsettled (
    session INTEGER NOT NULL,       -- may be writing to it; 0: nobody may, a writer was lost
    chunk   INTEGER NOT NULL,
    version INTEGER NOT NULL,       -- the chunk's, when its writer was lost
    PRIMARY KEY (session, chunk)
  ) WITHOUT ROWID, STRICT;
  `,
  /* 5: answers outlive the session that they were given to */ `
  -- Where in 'completed' its answers are: its own id, or that of the session it came after.
  ALTER TABLE session ADD COLUMN answers INTEGER NOT NULL DEFAULT 0;
  UPDATE session SET answers = id;
  ALTER TABLE session ADD COLUMN ended INTEGER NOT NULL DEFAULT 0; -- 1: only its answers are kept
  CREATE INDEX session_answers ON session (answers);
  `,
  /* 6: what was written before a truncation and is committed after it */ `
  ALTER TABLE chunk ADD COLUMN cuts INTEGER NOT NULL DEFAULT 0; -- how often it was cut
  `,
];
