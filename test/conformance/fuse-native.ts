/**
 * Behaviours that a mount by the fuse-native driver cannot have, by what stands in the way
 * (docs/operations.md, "The second driver"). All others it must have.
 */

const WITHOUT: Readonly<Record<string, readonly string[]>> = {
  'who calls is not told: files belong to whoever mounted': [
    'what a user makes is theirs, whatever it is',
    'set-group-id on a new file needs membership in the group that it inherits',
    'in a sticky directory only owners remove and rename',
    'trusted: for root only, of anything, and seen by nobody else',
  ],
  'where others may call, nobody makes or keeps set-id bits by writing': [
    'root writes and truncates without taking set-id bits away',
    'the umask takes bits off what is made',
  ],
  'libfuse 2 has no O_TMPFILE': [
    'O_TMPFILE: a file without a name, which a link gives one',
    'O_TMPFILE: gone with its last close, or for good with O_EXCL',
    'O_TMPFILE: anybody gives theirs a name, through what /proc has of it',
    'O_TMPFILE: owner, group and mode as of any new file',
    'a name for a nameless file, an exchange and a device move times of directories',
  ],
  'libfuse 2 has no flags of rename': ['renameat2: no replacing, exchanging'],
  'libfuse names directories by path, and one that is removed has none': [
    'a directory that is removed while it is in use is empty, and takes nothing',
    'so is one that is replaced by a rename',
  ],
  'times are of milliseconds, from 1970 on': [
    'dates from 1902 to 2400 are kept',
    'nanoseconds are kept, before 1970 and after 2106 too',
  ],
  'the package passes no times that are set apart': ['each time on its own, and both to now'],
  'libfuse 2 knows no birth time': ['a new thing is of now, its directory too'],
  'libfuse does not pass on a chown to nobody': [
    'chown to the same owner moves ctime, and so does one to nobody',
  ],
  'libfuse 2 has no SEEK_DATA and SEEK_HOLE': [
    'lseek finds data and holes to the page, in a small file',
    'lseek finds what was written a moment ago, in a large file with gaps',
    'lseek: at and past the end there is neither data nor a hole',
    'lseek moves the position, and so the next read; also of a file open for writing only',
  ],
  'the package has no fallocate': [
    'fallocate makes a file longer, which reads as zeros; with KEEP_SIZE it does not',
    'fallocate makes a range of a small file zeros, over its end only as far as asked',
    'fallocate makes a range zeros that begins and ends anywhere in a large file',
    'fallocate moves mtime and ctime',
    'a hole is found right after it is punched, and st_blocks says that it is none',
    'a range made zeros is so for whoever has it mapped or open',
    'fallocate refuses other modes, files that are none, and what the limit of the process forbids',
    'set-id bits go when somebody without privilege allocates or makes zeros',
  ],
  'libfuse 2 has no ACLs': [
    'named users and groups get what their entry says',
    'an entry may also take away',
    'the mask bounds all but owner and others',
    'on directories: to search, to list, to make',
    'a new ACL sets the mode; the group bits are the mask',
    'an ACL that says no more than a mode is only the mode',
    'a mask alone is kept',
    'chmod changes owner, mask and others of an ACL',
    'removed, the mode stays, with the mask as group',
    'what is made in a directory with a default ACL inherits it, whatever the umask',
    'a default ACL without names is a mode to be inherited',
    'symbolic links inherit nothing and have none, and files no default',
    'a file without a name inherits too, one that is moved in does not',
    'with the default ACL removed, the umask counts again',
    'set-group-id and inheritance go together',
    'who may set one: the owner; outside the group it takes set-group-id away',
    'an ACL without entries is none',
    'setting one moves ctime',
    'setfacl and getfacl work, and cp keeps what they set',
    'an ACL of hundreds of entries',
  ],
};

/** By title of the behaviour: why it is not asked. */
export const NOT_BY_FUSE_NATIVE: ReadonlyMap<string, string> = new Map(
  Object.entries(WITHOUT).flatMap(([why, titles]) => titles.map((title) => [title, why] as const)),
);
