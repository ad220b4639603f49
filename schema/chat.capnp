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
  reconnectJitterMs @7 :UInt16; # whoever is cut off with all others, without a `goAway`, first waits a random share of this, at most 60,000
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

    # what is said of what was said
    edit @17 :Edit;               # one's own message -> appended | held
    delete @18 :Delete;           # one's own messages, as a moderator anybody's -> appended
    react @19 :React;             # -> appended, or ok if it is so already
    pin @20 :Pin;                 # as a moderator -> appended, or ok if it is so already
    markRead @21 :MarkRead;       # how far this user has read, for all their devices -> ok
    typing @22 :Typing;           # to those who follow the room now; nothing is kept -> ok
    search @23 :Search;           # messages by their words -> found

    # rooms and people
    updateRoom @24 :UpdateRoom;   # as an admin -> appended
    invite @25 :Invite;           # a link into a room, as a moderator -> invited
    setRole @26 :SetRole;         # of somebody of lower rank -> appended
    presence @27 :PresenceStatus; # how this connection is shown to others from now on -> ok
    sessions @28 :Void;           # where I am logged in -> sessions

    # moderation and reports
    report @29 :Report;           # a message, or somebody, to those who moderate the room -> reported
    cases @30 :ListCases;         # what waits for a decision and what was decided -> cases
    appeal @31 :Appeal;           # against a decision about oneself, once -> ok
    sanction @32 :Sanction;       # somebody of lower rank, as a moderator -> appended
    audit @33 :ListAudit;         # who did what and what plugins found, as a moderator -> audit

    # reserved: devices and MLS (RFC 9420)
    keyPackages @34 :Void;
    claimKeyPackages @35 :Void;
    commit @36 :Void;

    # reserved: attachments, server
    attach @37 :Void;
    stats @38 :Void;

    unsubscribe @39 :RoomTarget;  # end this connection's live interest in a room -> ok
    revisions @40 :MessageTarget; # what a message said before, as a moderator -> page of the newest, ascending by rev
    direct @41 :Direct;           # the room of two people, made when it is not there -> room
    whoIsHere @42 :Id;            # who follows this room now -> here
    knock @43 :Write;             # ask to be let into a room that takes knocks -> appended
    admit @44 :Admit;             # let somebody in who knocked, as a moderator -> appended, or ok if they are in
    updateProfile @45 :UpdateProfile; # -> ok
    notice @46 :Notice;           # something for everybody in a room, as an admin of the server -> appended

    # accounts, once more
    endSession @47 :EndSession;   # of my own -> ok
    changePassword @48 :ChangePassword; # ends my other sessions -> ok
    resetPassword @49 :ResetPassword;   # before a login, with a token of an admin's; ends all sessions -> ok
    restrict @50 :Restrict;       # an account of lower rank, as a moderator of the server -> ok
    setServerRole @51 :SetServerRole;   # of an account of lower rank, as an admin of the server -> ok
    issueReset @52 :Id;           # for an account of lower rank, as an admin of the server -> invited
    inviteAccount @53 :InviteAccount;   # a token to register with, as a moderator of the server -> invited

    # moderation, once more
    case @54 :Id;                 # all that is known of one, as a moderator; else what its people may know -> case
    updateCase @55 :UpdateCase;   # as a moderator -> ok
  }
}

struct Register {
  username @0 :Text;     # 1 to 32 of a-z, 0-9, `.`, `_`, `-`; letters are folded to lower case
  password @1 :Text;     # 8 to 256 bytes
  displayName @2 :Text;  # at most 64 bytes; empty: the username
  device @3 :Text;       # a name for this device, at most 64 bytes
  ownerToken @4 :Text;   # printed once by a new server: makes this account its owner
  invite @5 :Text;       # of `inviteAccount`, where registration is by invitation
}

struct Login {
  username @0 :Text;
  password @1 :Text;
  device @2 :Text;       # names a new device ...
  deviceId @3 :Id;       # ... or the one that logs in again
}

struct EndSession {
  device @0 :Id;         # as in `sessions`; this connection's own too
  others @1 :Bool;       # instead: all but this connection's
}

struct ChangePassword {
  current @0 :Text;
  next @1 :Text;         # 8 to 256 bytes
}

struct ResetPassword {
  token @0 :Text;        # good once, for an hour
  password @1 :Text;     # 8 to 256 bytes
}

struct Restrict {
  # What holds on the whole server. Connections of the account are closed at once; of a mute they come back by themselves.
  user @0 :Id;
  kind @1 :SanctionKind; # mute: reads, and writes nothing. Kick: ends all sessions. Ban: and lets none begin
  durationMs @2 :UInt64; # of a mute or ban; 0: until it is lifted
}

struct SetServerRole {
  user @0 :Id;
  role @1 :ServerRole;   # admin, moderator or user, below one's own
}

struct InviteAccount {
  uses @0 :UInt32;       # how many may register with it, 1 to 1,000; 0: one
  durationMs @1 :UInt64; # how long it is good, at most 30 days; 0: a day
}

struct CreateRoom {
  clientId @0 :Id;
  name @1 :Text;         # at most 80 bytes, one line, unique on the server
  topic @2 :Text;        # at most 256 bytes
  resend @3 :Bool;
  private @4 :Bool;      # unknown to whoever is not in it, and entered by invitation only
}

struct RoomTarget {
  room @0 :Id;           # by id, or if that is zero ...
  name @1 :Text;         # ... by name, or ...
  invite @2 :Text;       # ... by the token of an invitation, which `joinRoom` alone takes
}

struct Direct {
  clientId @0 :Id;
  user @1 :Id;
}

struct Invite {
  room @0 :Id;
  uses @1 :UInt32;       # how many may come with it, 1 to 1,000; 0: one
  durationMs @2 :UInt64; # how long it is good, at most 30 days; 0: a day
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
  replyTo @4 :UInt64;    # the message that this answers; 0: none
  attachments @5 :List(AttachmentRef); # reserved
}

struct Write {
  # What every other command that appends to a room begins with. As for `publish`, (room, author, clientId) is appended
  # at most once, and a resend of what was appended or held gets that outcome. What changed nothing, or was refused, is
  # not recorded.
  room @0 :Id;
  clientId @1 :Id;
  resend @2 :Bool;
}

struct Edit {
  write @0 :Write;
  seq @1 :UInt64;        # the message
  body @2 :Text;         # what it says from now on
}

struct Delete {
  write @0 :Write;
  seqs @1 :List(UInt64); # 1 to 100 messages, all of them or none
}

struct React {
  write @0 :Write;
  seq @1 :UInt64;
  emoji @2 :Text;        # one grapheme of at most 32 bytes; at most 20 different ones for a message
  remove @3 :Bool;
}

struct Pin {
  write @0 :Write;
  seq @1 :UInt64;
  remove @2 :Bool;
}

struct MarkRead {
  room @0 :Id;
  seq @1 :UInt64;        # everything up to it; it never goes back
}

struct UpdateRoom {
  # What is absent stays as it is.
  write @0 :Write;
  name @1 :Text;
  topic @2 :Text;
  slowModeMs @3 :UInt32;    # least time between two messages of a member, at most 6 h; moderators are free of it
  hasSlowMode @4 :Bool;     # the above is meant
  retentionMs @5 :UInt64;   # entries older than this are retired; 0: never; else 2 days at least
  hasRetention @6 :Bool;    # the above is meant
  visibility @7 :Visibility; # unspecified: stays
  knocks @8 :Bool;          # whether others may ask to be let in
  hasKnocks @9 :Bool;       # the above is meant
  rights @10 :RoomRights;
}

struct RoomRights {
  # The least role that may; unspecified: the default. Who runs the server has the rank of the same name. Muted and banned are
  # no ranks.
  post @0 :RoomRole;        # and edit; by default members
  react @1 :RoomRole;       # by default members
  invite @2 :RoomRole;      # down to members; by default moderators
  pin @3 :RoomRole;         # down to members; by default moderators
}

enum Visibility {
  # How much of a room's history its members see.
  unspecified @0;
  all @1;
  sinceJoin @2;             # what was appended since they came in; of older messages what is edited then
}

struct SetRole {
  write @0 :Write;
  user @1 :Id;
  role @2 :RoomRole;        # admin, moderator, member or guest, below one's own. Owner: as the owner, who is admin from
                            # then on: a room has one owner
}

struct Admit {
  write @0 :Write;
  seq @1 :UInt64;           # of the knock, which is answered by it and good for nothing more
}

struct UpdateProfile {
  displayName @0 :Text;     # at most 64 bytes; others see it when they ask for `profiles`
}

struct Notice {
  write @0 :Write;
  body @1 :Text;            # as of a message
}

struct Sanction {
  write @0 :Write;
  user @1 :Id;
  kind @2 :SanctionKind;
  durationMs @3 :UInt64;    # of a mute or ban; 0: until it is lifted
  reason @4 :Text;          # for everybody in the room; at most 256 bytes
}

enum SanctionKind {
  unspecified @0;
  mute @1;                  # reads, and writes nothing
  kick @2;                  # goes out, and may come back
  ban @3;                   # goes out, and may not
  lift @4;                  # ends a mute or ban
  shadow @5;                # what they say from now on they alone are given, and moderators in the history; nobody is told
}

struct MessageTarget {
  room @0 :Id;
  seq @1 :UInt64;
  before @2 :UInt32;     # revisions: older than this rev; 0: the newest
}

struct Report {
  # What the message says now and up to five before and after it are kept for the moderators as they read now, whatever
  # becomes of them. Reports of one message make one case; to report it again changes nothing. Who reports is told to
  # moderators alone.
  room @0 :Id;           # that I am a member of
  seq @1 :UInt64;        # the message; 0: the person themselves, not something they said
  user @2 :Id;           # whom, where there is no message
  reason @3 :ReportReason;
  text @4 :Text;         # for the moderators; at most 1,000 bytes
}

enum ReportReason {
  unspecified @0;
  spam @1;
  harassment @2;
  hate @3;
  violence @4;
  sexual @5;
  selfHarm @6;           # somebody may need help
  illegal @7;
  other @8;
}

struct ListCases {
  # The newest first. Of rooms that I moderate, and with `mine` those that I opened or that are about me instead.
  room @0 :Id;           # zero: of all
  state @1 :CaseState;   # unspecified: what is not decided yet, be it for the first time or after an appeal
  kind @2 :CaseKind;     # unspecified: all
  mine @3 :Bool;
  before @4 :Id;         # continue after this case; zero: from the start
  limit @5 :UInt16;      # at most 100; 0 means that
  any @6 :Bool;          # whatever its state is
  about @7 :Id;          # only those about this user, never about me unless with `mine`; zero: about anybody
}

enum CaseKind {
  unspecified @0;
  held @1;               # a message that a plugin holds back
  report @2;             # people reported a message, or somebody
  flag @3;               # a plugin found something in a message, and let it pass
  sanction @4;           # somebody was muted, kicked or banned: decided as it begins
}

enum CaseState {
  unspecified @0;
  open @1;
  taken @2;              # somebody looks into it
  decided @3;
  appealed @4;           # whom it is about asks for another look; by somebody else than who decided, where there is one
  closed @5;             # the appeal was decided as well
}

enum CaseDecision {
  unspecified @0;        # none yet
  dismiss @1;            # nothing is wrong
  release @2;            # of what is held: posted now, by its author
  drop @3;               # of what is held: never posted
  remove @4;             # of a message: deleted
  sanction @5;           # somebody was sanctioned
  uphold @6;             # of an appeal: it stays as it is
  reverse @7;            # of an appeal: what was dropped is posted, a mute or ban is lifted. What was deleted stays so
}

struct UpdateCase {
  case @0 :Id;
  act @1 :CaseAct;       # take, letGo, note or decide
  decision @2 :CaseDecision; # with `decide`
  text @3 :Text;         # a note for moderators; with `decide` why, which whom it is about and who reported read; at most
                         # 1,000 bytes
}

struct Appeal {
  case @0 :Id;           # that was decided within 30 days
  text @1 :Text;         # why; at most 1,000 bytes
}

enum CaseAct {
  unspecified @0;
  open @1;
  report @2;             # somebody else reports the same
  take @3;
  letGo @4;              # nobody looks into it any more
  note @5;
  decide @6;
  appeal @7;
  fail @8;               # what was decided could not be done; the text says why
}

struct ListAudit {
  # The newest first.
  room @0 :Id;           # zero: everything, as a moderator of the server
  user @1 :Id;           # only what this one did, or was done to them; zero: everybody
  case @2 :Id;           # only what belongs to this case; zero: everything
  plugin @3 :Text;       # only what this plugin found; empty: everything
  before @4 :Id;         # continue after this record; zero: from the newest
  limit @5 :UInt16;      # at most 200; 0 means that
}

struct AttachmentRef {
  # Reserved: content-addressed files staged over HTTP.
  sha256 @0 :Data;
}

struct History {
  room @0 :Id;
  before @1 :UInt64;     # messages with a smaller seq, newest page first; 0: from the head
  limit @2 :UInt16;      # at most 200; 0 means that
  after @3 :UInt64;      # instead: messages with a larger seq, oldest page first
  around @4 :UInt64;     # instead: messages before, at and after a seq
  thread @5 :UInt64;     # only answers to this message
  pinned @6 :Bool;       # only what is pinned
}

struct Search {
  # Words are found whatever their case and marks (`cafe` finds `Café`), all of them in any order. "Quotes" make a
  # phrase, `word*` finds what begins with it, and what a word is, is Unicode's (UAX #29). An answer comes from an index
  # that follows the rooms within a few seconds; what was edited or deleted is found as it reads now, or not at all.
  room @0 :Id;           # zero: all rooms that I am in
  query @1 :Text;        # at most 256 bytes and 64 words; one at least
  before @2 :FoundAt;    # continue after this
  limit @3 :UInt16;      # at most 50; 0 means that
}

struct FoundAt {
  timeMs @0 :UInt64;
  room @1 :Id;
  seq @2 :UInt64;
}

struct Typing {
  # Repeat it every 4 s while it goes on. Where more than 100 connections follow the room, nobody is told.
  room @0 :Id;
  stopped @1 :Bool;
}

enum PresenceStatus {
  # How a connection is shown. Of somebody's connections to a room the first of this list counts that any of them has.
  unspecified @0;        # as a request `online`; as news: is not here any more
  online @1;
  away @2;
  invisible @3;          # not shown, nor counted, nor told of as typing
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
    invited @13 :Invited;
    found @14 :Found;
    here @15 :WhoIsHere;
    sessions @16 :List(SessionInfo);
    reported @17 :Id;          # the case
    cases @18 :Cases;
    case @19 :CaseFile;
    audit @20 :Audit;
  }
}

struct Cases {
  cases @0 :List(Case);
  next @1 :Id;                 # use as `before`; zero: that was all
}

struct Case {
  id @0 :Id;
  kind @1 :CaseKind;
  state @2 :CaseState;
  decision @3 :CaseDecision;
  room @4 :Id;
  subject @5 :Id;              # whom it is about
  seq @6 :UInt64;              # the message; 0: none, or one that is held
  openedMs @7 :UInt64;
  changedMs @8 :UInt64;
  reports @9 :UInt32;          # how many reported it; to moderators
  reason @10 :ReportReason;    # of the first report
  assignee @11 :Id;            # to moderators
  appealable @12 :Bool;        # by me, now
}

struct CaseFile {
  case @0 :Case;
  events @1 :List(CaseEvent);  # ascending. To others than moderators what they did, and decisions
  evidence @2 :List(Evidence); # to moderators: what was said, as it read when it was reported or flagged, oldest first
}

struct CaseEvent {
  timeMs @0 :UInt64;
  actor @1 :Id;                # zero: a plugin, the server, or a moderator who is not named to you
  act @2 :CaseAct;
  decision @3 :CaseDecision;
  text @4 :Text;
}

struct Evidence {
  entry @0 :Envelope;          # seq 0: it is held
  subject @1 :Bool;            # the case is about this one; the others are its context
}

struct Audit {
  records @0 :List(AuditEntry);
  next @1 :Id;                 # use as `before`; zero: that was all
}

struct AuditEntry {
  id @0 :Id;
  record @1 :Data;             # an `AuditRecord`, as a frame of its own
  note @2 :Text;               # of the plugin whose finding it is, for moderators: words, which are kept for a while only
}

struct AuditRecord {
  # Who did what to whom. A standalone message, encoded once. It has references and hashes, and what plugins call things; of
  # what was said it has nothing. Nobody can change it.
  timeMs @0 :UInt64;
  actor @1 :Id;                # zero: a plugin, or who runs the machine
  act @2 :Text;                # what, in a word: `verdict`, `delete`, `ban`, `role`, `decide` ...
  room @3 :Id;
  user @4 :Id;                 # to whom
  seq @5 :UInt64;              # of the message or entry
  case @6 :Id;
  before @7 :Data;             # SHA-256 of the payload, or of the settings, as they were ...
  after @8 :Data;              # ... and as they are
  detail @9 :Text;             # what it was and is where that is a word: `member -> moderator`
  finding @10 :Finding;        # of a plugin
}

struct Finding {
  plugin @0 :Text;
  sha256 @1 :Text;             # of its component, in hex
  verdict @2 :Text;
  enforced @3 :Bool;           # not: it only said what it would do
  rule @4 :Text;               # the plugin's own name for why
  label @5 :Text;
  score @6 :UInt8;             # percent
  form @7 :Text;               # of which form of the text the span is: `body`, `plain` or `skeleton`; empty: none
  from @8 :UInt32;             # bytes
  to @9 :UInt32;
  shown @10 :Text;             # what the author was told
  hook @11 :Text;
}

struct SessionInfo {
  device @0 :Id;
  name @1 :Text;               # as the device gave it, or of the API key
  createdMs @2 :UInt64;
  seenMs @3 :UInt64;           # when it last logged in or refreshed
  current @4 :Bool;            # this connection's
  isKey @5 :Bool;              # an API key
}

struct Found {
  hits @0 :List(Hit);          # the newest first
  next @1 :FoundAt;            # use as `before`; absent: that was all
}

struct Hit {
  room @0 :Id;
  message @1 :Envelope;        # as it reads now
}

struct WhoIsHere {
  count @0 :UInt32;
  users @1 :List(Here);        # nobody where more than 100 connections follow the room
}

struct Here {
  user @0 :Id;
  status @1 :PresenceStatus;
}

struct Invited {
  token @0 :Text;              # whoever has it may come in; the server keeps its hash only
  expiresMs @1 :UInt64;
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
  firstSeq @5 :UInt64;         # the oldest entry that I may read; 1 while nothing was retired or is hidden
  head @6 :UInt64;             # the newest; 0 in an empty room
  role @7 :RoomRole;           # mine; unspecified when I am no member
  members @8 :UInt32;
  createdMs @9 :UInt64;
  slowModeMs @10 :UInt32;
  readSeq @11 :UInt64;         # how far I have read
  unread @12 :UInt32;          # messages after that, my own included
  mentions @13 :UInt32;        # of them, those that mention me
  retentionMs @14 :UInt64;     # entries older than this are retired; 0: never
  visibility @15 :Visibility;
  knocks @16 :Bool;
  rights @17 :RoomRights;
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
  next @3 :UInt64;             # history: use as `before` (or `after`); sync: as the cursor's seq; revisions: use as
                               # `before`. 0: that was all
  head @4 :UInt64;
  firstSeq @6 :UInt64;         # the oldest entry still kept: what stood before it was retired
  states @5 :List(MessageState); # history: what else is known of these messages; those of which nothing is are left out
}

struct MessageState {
  seq @0 :UInt64;
  pinned @1 :Bool;
  replies @2 :UInt32;
  reactions @3 :List(ReactionCount);
  shadowed @4 :Bool;           # others do not see it; told to moderators, and never to its author
}

struct ReactionCount {
  emoji @0 :Text;
  count @1 :UInt32;
  mine @2 :Bool;
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
    ephemeral @2 :Ephemeral;
  }
}

struct Ephemeral {
  # What is true for a moment in a room that this connection follows, one's own doings included. It is not kept, comes
  # in no order with entries, and whoever is slow gets the newest only, or none.
  room @0 :Id;
  union {
    typing @1 :TypingNow;
    here @2 :List(Here);       # who came, went, or shows otherwise. Who drops out is gone after 15 s; who leaves the room
                               # or is put out of it is gone with the entry of it, and not told of here
    count @3 :UInt32;          # instead, where more than 100 connections follow the room: how many people they are
    missed @4 :Void;           # some news did not get through (of any room, if it names none): ask `whoIsHere` again
  }
}

struct TypingNow {
  user @0 :Id;
  forMs @1 :UInt32;            # unless it is repeated, it is over after this; 0: it is over now
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
  rewritten @4 :Envelope;      # with an edit: the message it is about, as it reads now
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
    edit @7 :UInt64;           # the message of this seq was rewritten; its envelope comes along
    deletion @8 :Deletion;
    reaction @9 :Reaction;
    pin @10 :Pinned;
    roomSettings @11 :RoomSettings;
    sanction @12 :Sanctioned;
    notice @13 :Text;          # from those who run the server
    mlsCommit @14 :Void;       # reserved
    mlsMessage @15 :Void;      # reserved
    tombstone @16 :Tombstone;  # a message stood here
    knock @17 :Void;           # the author asks to be let in
  }
}

struct Message {
  body @0 :Text;
  replyTo @1 :UInt64;          # the message that this answers; 0: none
  attachments @2 :List(AttachmentRef); # reserved
  mentions @3 :List(Id);       # members whose `@username` stands in the body, at most 20
}

struct Deletion {
  # From now on these are tombstones: forget what they said.
  seqs @0 :List(UInt64);
  byModerator @1 :Bool;
}

struct Tombstone {
  byModerator @0 :Bool;
}

struct Reaction {
  seq @0 :UInt64;
  emoji @1 :Text;
  removed @2 :Bool;
}

struct Pinned {
  seq @0 :UInt64;
  removed @1 :Bool;
}

struct RoomSettings {
  # All of them, as they are from now on.
  name @0 :Text;
  topic @1 :Text;
  slowModeMs @2 :UInt32;
  retentionMs @3 :UInt64;
  visibility @4 :Visibility;
  knocks @5 :Bool;
  rights @6 :RoomRights;
}

struct Sanctioned {
  user @0 :Id;
  kind @1 :SanctionKind;
  untilMs @2 :UInt64;          # 0: until it is lifted
  reason @3 :Text;
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
    read @3 :MarkRead;         # on another device
    profileChanged @4 :Void;   # ask for it
    case @5 :CaseNote;         # there is news of a case: ask for it
  }
}

struct CaseNote {
  case @0 :Id;
  room @1 :Id;
  state @2 :CaseState;         # as of then
}

enum MembershipChange {
  unspecified @0;
  joined @1;
  left @2;
  roleChanged @3;              # by the entry's author
}

enum RoomKind {
  unspecified @0;
  channel @1;                  # named, open to join
  direct @2;                   # of two people; without a name
  selfLog @3;                  # a user's own log
  private @4;                  # named, entered by invitation
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
const rejectInviteInvalid :UInt16 = 2008;    # unknown, used up or too old: not told apart
const rejectBanned :UInt16 = 2009;           # this account, by those who run the server
const rejectMuted :UInt16 = 2010;            # this account, by those who run the server; or writing is limited for now
const rejectScopeMissing :UInt16 = 2011;     # this API key was not given the right to do that

# 3xxx: rooms and the log.
const rejectUnknownRoom :UInt16 = 3001;
const rejectNotMember :UInt16 = 3002;
const rejectClientIdReused :UInt16 = 3003;   # the same clientId with another content
const rejectClientIdTooOld :UInt16 = 3004;   # older than the window in which resends are recognised
const rejectRoomNameTaken :UInt16 = 3005;
const rejectIncarnationChanged :UInt16 = 3006;
const rejectOrderBroken :UInt16 = 3007;      # an earlier send of this connection to the room failed: resend in order
const rejectUnknownMessage :UInt16 = 3008;   # no message of that seq, or it was deleted
const rejectUnknownUser :UInt16 = 3009;      # no such user here
const rejectChangedMeanwhile :UInt16 = 3010; # somebody else was faster: look, and ask again
const rejectUnknownCase :UInt16 = 3011;      # no such case, or not yours to see

# 4xxx: limits; try again after retryAfterMs.
const rejectRateLimited :UInt16 = 4001;
const rejectTooManyInFlight :UInt16 = 4002;
const rejectTooManyRooms :UInt16 = 4003;
const rejectTooManyMembers :UInt16 = 4004;
const rejectTooManyDevices :UInt16 = 4005;
const rejectSlowMode :UInt16 = 4006;         # the room asks for more time between two messages of a member
const rejectTooManyReactions :UInt16 = 4007; # no more different reactions to this message

# 5xxx: moderation.
const rejectByPlugin :UInt16 = 5001;         # refused; the detail says why
const rejectBounced :UInt16 = 5002;          # change it as the detail says and send it as a new message
const rejectCaseState :UInt16 = 5003;        # not in the state that the case is in; look at it again

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
const closeRightsChanged :UInt16 = 4005;     # of this account on the server; come back with the new ones
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
const closeTooManyRequests :UInt16 = 4301;   # refused again and again, and did not wait as retryAfterMs says; or too many bad tokens
