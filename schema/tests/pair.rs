//! Two sessions, a virtual clock and a bad link: the protocol's promises as tests of its two ends
//! together. `harness` runs them, `app` is the smallest server application that has something to say.

#[path = "pair/app.rs"]
mod app;
#[path = "pair/closing.rs"]
mod closing;
#[path = "pair/greeting.rs"]
mod greeting;
#[path = "pair/harness.rs"]
mod harness;
#[path = "pair/hostile.rs"]
mod hostile;
#[path = "pair/keepalive.rs"]
mod keepalive;
#[path = "pair/link.rs"]
mod link;
#[path = "pair/requests.rs"]
mod requests;
#[path = "pair/resume.rs"]
mod resume;
#[path = "pair/schedule.rs"]
mod schedule;
#[path = "pair/server.rs"]
mod server;
#[path = "pair/tokens.rs"]
mod tokens;
