@0xa6b65ae8c4436880;
# The chat protocol of Confab. This file stands alone: its comments are the reference.
#
# Transport. A frame is one Cap'n Proto message in the standard stream framing (segment table, then
# segments), of exactly one segment, unpacked, at most 64 KiB, with no trailing bytes.
#   WebSocket: one binary message is one frame; subprotocol `confab.v1`; text messages are refused.
#   QUIC: ALPN `confab/1`. The client opens one bidirectional control stream; every frame on a stream
#   is preceded by its length as a little-endian UInt32. Pushes arrive on unidirectional streams
#   ("lanes") that the server opens. There is no order between control stream and lanes: a client
#   holds the pushes of a room until it has the reply to the `resume` that subscribed to it.
#
# Order. Everything durable in a room is an entry of its log with the next `seq`, without gaps.
# An acknowledged entry is durably stored. A reader sees the entries of a room in `seq` order.
#
# Evolution. Fields, union members and constants are only ever appended. A reader ignores what it does
# not know; a request whose union member the server does not serve is answered `rejectUnsupported`.
# Members marked "reserved" have no content yet and may still be reshaped before v0.1.
#
# Units. Times are milliseconds since the Unix epoch, durations milliseconds. Ids are UUIDv7 (RFC 9562).

const protocolVersion :UInt16 = 1;

struct Id {
  # A UUID in two halves, most significant first. All zero means "none".
  high @0 :UInt64;
  low @1 :UInt64;
}

# ------------------------------------------------------------------------------------ frames

struct ClientFrame {
  # What a client sends. The first frame of a connection is `hello`, due within 5 s.
  union {
    hello @0 :Hello;
    request @1 :Request;
  }
}

struct ServerFrame {
  # What the server sends. The first one is `welcome`.
  union {
    welcome @0 :Welcome;
    reply @1 :Reply;
    push @2 :Push;
    goAway @3 :GoAway;
  }
}

struct Hello {
  # At most 4 KiB as a frame.
  versionMin @0 :UInt16;   # the range of protocol versions the client speaks
  versionMax @1 :UInt16;
  client @2 :Text;         # name and version of the client, for the operator's logs; at most 64 bytes
  token @3 :Text;          # an access token (at most 2 KiB), or empty: then log in within 30 s
  features @4 :UInt64;     # bit set of wanted features; none are defined yet
}

struct Welcome {
  version @0 :UInt16;      # the version chosen: the highest that both speak
  session @1 :Id;          # names this connection in logs; it is not a credential
  features @2 :UInt64;     # the wanted features that are granted
  limits @3 :Limits;
  heartbeatMs @4 :UInt32;  # send at least one frame (`ping` if nothing else) in this time
  serverTimeMs @5 :UInt64; # offset for UUIDv7 clientIds
  identity @6 :Identity;   # absent: not logged in yet
}

struct Identity {
  user @0 :Id;
  device @1 :Id;
  selfRoom @2 :Id;         # the user's own log: what happens to them while a device is away
  username @3 :Text;
  displayName @4 :Text;
  role @5 :ServerRole;
  tokenExpiresMs @6 :UInt64; # `refresh` or `authenticate` before this, else close 4200
}

struct Limits {
  frameBytesMax @0 :UInt32;
  bodyBytesMax @1 :UInt32;
  bodyGraphemesMax @2 :UInt32;
  inFlightMax @3 :UInt16;     # requests of a connection without a reply
  pageEntriesMax @4 :UInt16;
  roomNameBytesMax @5 :UInt16;
  roomsPerUserMax @6 :UInt32;
  resumeCursorsMax @7 :UInt16; # cursors in one `resume`
}

struct GoAway {
  # The server is about to close the connection, or asks the client to leave.
  code @0 :UInt16;            # one of the close* constants
  reason @1 :Text;
  reconnectAfterMs @2 :UInt32;
  jitterMs @3 :UInt32;        # add a random share of this, so that not all come back at once
}

# ------------------------------------------------------------------------------------ requests

struct Request {
  id @0 :UInt32;              # chosen by the client, unique among its requests in flight
  union {
    ping @1 :Void;            # -> pong

    # accounts
    register @2 :Register;        # -> session; logs this connection in
    login @3 :Login;              # -> session; logs this connection in
    authenticate @4 :Text;        # a fresh access token for this connection -> authenticated
    refresh @5 :Text;             # a refresh token, used once -> session; logs this connection in
    logout @6 :Void;              # ends this device's session and closes its connections -> ok

    # rooms
    createRoom @7 :CreateRoom;    # -> room
    joinRoom @8 :RoomTarget;      # -> room
    leaveRoom @9 :RoomTarget;     # -> ok
    listRooms @10 :ListRooms;     # -> rooms
    listMembers @11 :ListMembers; # -> members
    profiles @12 :List(Id);       # names of users, at most 200 -> members (without roles)

    # the log
    publish @13 :Publish;         # -> appended | held
    history @14 :History;         # messages in their present state -> page
    sync @15 :Sync;               # raw entries after a cursor -> page
    resume @16 :List(Cursor);     # subscribe to rooms from where the client stands -> resumed

    # reserved: edits and reactions
    edit @17 :Void;
    delete @18 :Void;
    react @19 :Void;
    pin @20 :Void;
    markRead @21 :Void;
    typing @22 :Void;
    search @23 :Void;

    # reserved: rooms and people
    updateRoom @24 :Void;
    invite @25 :Void;
    setRole @26 :Void;
    presence @27 :Void;
    sessions @28 :Void;

    # reserved: moderation and reports
    report @29 :Void;
    cases @30 :Void;
    appeal @31 :Void;
    sanction @32 :Void;
    audit @33 :Void;

    # reserved: devices and MLS (RFC 9420)
    keyPackages @34 :Void;
    claimKeyPackages @35 :Void;
    commit @36 :Void;

    # reserved: attachments, server
    attach @37 :Void;
    stats @38 :Void;

    unsubscribe @39 :RoomTarget;  # end this connection's live interest in a room -> ok
  }
}

struct Register {
  username @0 :Text;     # 1 to 32 of a-z, 0-9, `.`, `_`, `-`; letters are folded to lower case
  password @1 :Text;     # 8 to 256 bytes
  displayName @2 :Text;  # at most 64 bytes; empty: the username
  device @3 :Text;       # a name for this device, at most 64 bytes
  ownerToken @4 :Text;   # printed once by a new server: makes this account its owner
}

struct Login {
  username @0 :Text;
  password @1 :Text;
  device @2 :Text;       # names a new device ...
  deviceId @3 :Id;       # ... or the one that logs in again
}

struct CreateRoom {
  clientId @0 :Id;
  name @1 :Text;         # at most 80 bytes, one line, unique on the server
  topic @2 :Text;        # at most 256 bytes
  resend @3 :Bool;
}

struct RoomTarget {
  room @0 :Id;           # by id, or if that is zero ...
  name @1 :Text;         # ... by name
}

struct ListRooms {
  scope @0 :RoomScope;
  after @1 :Id;          # continue after this room; zero: from the start
  limit @2 :UInt16;      # at most 200; 0 means that
}

enum RoomScope {
  unspecified @0;        # as `joined`
  joined @1;             # rooms that I am a member of
  open @2;               # rooms that anyone here may join
}

struct ListMembers {
  room @0 :Id;
  after @1 :Id;
  limit @2 :UInt16;
}

struct Publish {
  room @0 :Id;
  clientId @1 :Id;       # UUIDv7 on server time: (room, author, clientId) is appended at most once
  resend @2 :Bool;       # set when this may have been sent before: answers the recorded outcome
  body @3 :Text;         # 1 to 16 KiB and at most 4,000 graphemes; not blank; no NUL
  replyTo @4 :UInt64;    # reserved
  attachments @5 :List(AttachmentRef); # reserved
}

struct AttachmentRef {
  # Reserved: content-addressed files staged over HTTP.
  sha256 @0 :Data;
}

struct History {
  room @0 :Id;
  before @1 :UInt64;     # messages with a smaller seq, newest page first; 0: from the head
  limit @2 :UInt16;      # at most 200; 0 means that
}

struct Sync {
  cursor @0 :Cursor;
  limit @1 :UInt16;
}

struct Cursor {
  # Everything up to and including `seq` of this incarnation is known. The incarnation is the identity
  # of a room's history: it changes when a backup was restored.
  room @0 :Id;
  incarnation @1 :UInt64; # 0: any, I know nothing yet
  seq @2 :UInt64;
}

# ------------------------------------------------------------------------------------ replies

struct Reply {
  id @0 :UInt32;
  union {
    reject @1 :Reject;
    ok @2 :Void;
    pong @3 :UInt64;           # server time
    session @4 :Session;
    authenticated @5 :Identity;
    room @6 :Room;
    rooms @7 :Rooms;
    members @8 :Members;
    appended @9 :Appended;
    held @10 :Id;              # kept for review; this is the case. It is not in the log (yet)
    page @11 :Page;
    resumed @12 :List(Resumed);
  }
}

struct Reject {
  # This request failed; the connection goes on.
  code @0 :UInt16;             # one of the reject* constants
  detail @1 :Text;             # for people: what went wrong and what to do
  retryAfterMs @2 :UInt32;     # 0: trying again as it is will not help, or the time is unknown
}

struct Session {
  identity @0 :Identity;
  accessToken @1 :Text;
  refreshToken @2 :Text;       # single use; the next one comes with each `refresh`
  refreshExpiresMs @3 :UInt64;
}

struct Room {
  id @0 :Id;
  kind @1 :RoomKind;
  name @2 :Text;
  topic @3 :Text;
  incarnation @4 :UInt64;
  firstSeq @5 :UInt64;         # the oldest entry still kept; 1 while nothing was retired
  head @6 :UInt64;             # the newest; 0 in an empty room
  role @7 :RoomRole;           # mine; unspecified when I am no member
  members @8 :UInt32;
  createdMs @9 :UInt64;
}

struct Rooms {
  rooms @0 :List(Room);
  next @1 :Id;                 # zero: that was all
}

struct Member {
  user @0 :Id;
  username @1 :Text;
  displayName @2 :Text;
  role @3 :RoomRole;
}

struct Members {
  members @0 :List(Member);
  next @1 :Id;
}

struct Appended {
  seq @0 :UInt64;
  timeMs @1 :UInt64;
  altered @2 :Bool;            # a plugin changed the text; the entry tells how it reads now
  duplicate @3 :Bool;          # this clientId was appended before: nothing was appended now
}

struct Page {
  room @0 :Id;
  incarnation @1 :UInt64;
  entries @2 :List(Envelope);  # ascending by seq
  next @3 :UInt64;             # history: use as `before`; sync: as the cursor's seq. 0: that was all
  head @4 :UInt64;
}

struct Resumed {
  room @0 :Id;
  incarnation @1 :UInt64;      # as of now
  firstSeq @2 :UInt64;
  head @3 :UInt64;
  outcome @4 :ResumeOutcome;
}

enum ResumeOutcome {
  unspecified @0;
  recovered @1;                # every entry after the cursor follows as pushes, then the live ones
  gapTooLong @2;               # live from `head` on; page what is missing with `sync`
  incarnationChanged @3;       # the history changed: drop what you hold; live from `head` on
  refused @4;                  # no such room, or not yours to read
}

# ------------------------------------------------------------------------------------ pushes

struct Push {
  union {
    entries @0 :EntriesPush;
    notice @1 :Text;           # for people
    ephemeral @2 :Void;        # reserved: typing, presence
  }
}

# Right after a subscription became live a push may begin with entries at or before its cursor: skip those.
struct EntriesPush {
  # All entries of one room in one committed batch, ascending by seq, the same bytes for every reader.
  room @0 :Id;
  incarnation @1 :UInt64;
  entries @2 :List(Envelope);
}

struct Envelope {
  seq @0 :UInt64;
  timeMs @1 :UInt64;           # never goes back within a room
  rev @2 :UInt32;              # how often the payload was rewritten in place (edit, deletion)
  payload @3 :Data;            # an `Entry`, as a frame of its own
}

struct Entry {
  # One record of a room's log. A standalone message, encoded once: stored, pushed and paged as it is.
  author @0 :Id;
  clientId @1 :Id;
  union {
    void @2 :Void;             # nothing to see here for you; keeps the seq without a gap
    message @3 :Message;
    roomCreated @4 :RoomCreated;
    membership @5 :Membership;
    selfNote @6 :SelfNote;
    edit @7 :Void;             # reserved, as all below
    deletion @8 :Void;
    reaction @9 :Void;
    pin @10 :Void;
    roomSettings @11 :Void;
    sanction @12 :Void;
    notice @13 :Void;
    mlsCommit @14 :Void;
    mlsMessage @15 :Void;
  }
}

struct Message {
  body @0 :Text;
  replyTo @1 :UInt64;          # reserved
  attachments @2 :List(AttachmentRef); # reserved
}

struct RoomCreated {
  name @0 :Text;
  topic @1 :Text;
}

struct Membership {
  user @0 :Id;
  change @1 :MembershipChange;
  role @2 :RoomRole;
  displayName @3 :Text;        # at that time
}

struct SelfNote {
  # An entry of a user's own log, for their other devices.
  union {
    accountCreated @0 :Void;
    joined @1 :Id;             # the room
    left @2 :Id;
  }
}

enum MembershipChange {
  unspecified @0;
  joined @1;
  left @2;
}

enum RoomKind {
  unspecified @0;
  channel @1;                  # named, open to join
  direct @2;                   # reserved
  selfLog @3;                  # a user's own log
}

enum RoomRole {
  unspecified @0;
  owner @1;
  admin @2;
  moderator @3;
  member @4;
  guest @5;
  muted @6;
  banned @7;
}

enum ServerRole {
  unspecified @0;
  owner @1;
  admin @2;
  moderator @3;
  user @4;
  bot @5;
}

# ------------------------------------------------------------------------------------ codes
# Constants and not enums, because enumerants are dense and these have ranges: a client that does not
# know a number acts on its range.

# Rejects, 1xxx: the request itself is wrong; repeating it as it is will not help.
const rejectMalformed :UInt16 = 1001;        # a field is missing, too long, or not what it must be
const rejectUnsupported :UInt16 = 1002;      # this server does not serve that command
const rejectNotAuthenticated :UInt16 = 1003; # log in first
const rejectBodyBlank :UInt16 = 1010;        # nothing but white space
const rejectBodyTooLong :UInt16 = 1011;
const rejectBodyInvalid :UInt16 = 1012;      # not UTF-8, or holds a NUL
const rejectNameInvalid :UInt16 = 1013;

# 2xxx: identity and rights.
const rejectBadCredentials :UInt16 = 2001;   # user or password wrong, or no such user: not told apart
const rejectTokenInvalid :UInt16 = 2002;
const rejectTokenExpired :UInt16 = 2003;
const rejectRegistrationClosed :UInt16 = 2004;
const rejectNameTaken :UInt16 = 2005;
const rejectForbidden :UInt16 = 2006;
const rejectOwnerTokenInvalid :UInt16 = 2007;

# 3xxx: rooms and the log.
const rejectUnknownRoom :UInt16 = 3001;
const rejectNotMember :UInt16 = 3002;
const rejectClientIdReused :UInt16 = 3003;   # the same clientId with another content
const rejectClientIdTooOld :UInt16 = 3004;   # older than the window in which resends are recognised
const rejectRoomNameTaken :UInt16 = 3005;
const rejectIncarnationChanged :UInt16 = 3006;
const rejectOrderBroken :UInt16 = 3007;      # an earlier send of this connection to the room failed: resend in order

# 4xxx: limits; try again after retryAfterMs.
const rejectRateLimited :UInt16 = 4001;
const rejectTooManyInFlight :UInt16 = 4002;
const rejectTooManyRooms :UInt16 = 4003;
const rejectTooManyMembers :UInt16 = 4004;
const rejectTooManyDevices :UInt16 = 4005;

# 5xxx: moderation.
const rejectByPlugin :UInt16 = 5001;         # refused; the detail says why
const rejectBounced :UInt16 = 5002;          # change it as the detail says and send it as a new message

# 9xxx: the server; try again later.
const rejectInternal :UInt16 = 9001;         # the detail carries a correlation id for the operator
const rejectUnavailable :UInt16 = 9002;      # the store does not answer
const rejectBusy :UInt16 = 9003;

# Closes: WebSocket close codes and QUIC application error codes alike.
# 40xx: reconnect (with backoff) and resume.
const closeGoingAway :UInt16 = 4000;
const closeSlowConsumer :UInt16 = 4001;      # resume from your cursors
const closeIdle :UInt16 = 4002;              # no frame within the heartbeat
const closeInternal :UInt16 = 4003;
const closeFrameTimeout :UInt16 = 4004;      # a frame began and its rest did not come within 10 s
# 41xx: this client broke the protocol; do not reconnect by yourself.
const closeMalformedFrame :UInt16 = 4100;
const closeFrameTooLarge :UInt16 = 4101;
const closeWrongState :UInt16 = 4102;
const closeVersionUnsupported :UInt16 = 4103;
const closeHelloTimeout :UInt16 = 4104;
const closeTextFrame :UInt16 = 4105;
# 42xx: reconnect only with other credentials.
const closeTokenExpired :UInt16 = 4200;
const closeTokenInvalid :UInt16 = 4201;
const closeLoginTimeout :UInt16 = 4202;
const closeLoggedOut :UInt16 = 4203;
const closeBanned :UInt16 = 4204;
# 43xx: reconnect after the time that goAway gave, at least 10 s.
const closeTooManyConnections :UInt16 = 4300;
