//! What each target promises about any bytes. One function a target, with libFuzzer's signature.

mod client_session;
mod codec;
mod frame;
mod server_session;
mod source;

pub use self::client_session::client_session;
pub use self::codec::{client_frame, entry, server_frame};
pub use self::frame::frame;
pub use self::server_session::server_session;
