/**
 * Branded ids: one kind cannot be passed for another. All are safe integers, minted by the
 * master, and never reused.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

export type InodeId = Branded<'InodeId'>;
export type ChunkId = Branded<'ChunkId'>;
export type NodeId = Branded<'NodeId'>;
export type SessionId = Branded<'SessionId'>;
/** Minted by the client that opened, unique within its session. */
export type HandleId = Branded<'HandleId'>;

/** The root directory, whose number is also the FUSE root's (FUSE_ROOT_ID). */
export const ROOT_INODE = 1 as InodeId;

export const inodeId = (value: number): InodeId => value as InodeId;
export const chunkId = (value: number): ChunkId => value as ChunkId;
export const nodeId = (value: number): NodeId => value as NodeId;
export const sessionId = (value: number): SessionId => value as SessionId;
export const handleId = (value: number): HandleId => value as HandleId;
