//! Work of which nobody knows how long it takes, as compiling: on a terminal it is said what goes on, once it takes long.

use std::io::IsTerminal;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// What takes no longer is not worth a word.
const SHORT: Duration = Duration::from_secs(1);

/// Does it. Only people want to know that it takes long: a script waits for its end.
pub(super) fn patiently<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    told_after(SHORT, || eprintln!("{what} ..."), work)
}

fn told_after<T>(short: Duration, tell: impl FnOnce() + Send, work: impl FnOnce() -> T) -> T {
    std::thread::scope(|scope| {
        // It goes with the work, however that ends.
        let (is_going_on, end) = sync_channel::<()>(0);
        scope.spawn(move || {
            if end.recv_timeout(short) == Err(RecvTimeoutError::Timeout) {
                tell();
            }
        });
        let made = work();
        drop(is_going_on);
        made
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn what_takes_long_is_told_and_what_is_short_is_not() {
        let is_told = AtomicBool::new(false);
        let tell = || is_told.store(true, Ordering::SeqCst);
        assert_eq!(told_after(Duration::from_secs(3_600), tell, || 7), 7);
        assert!(!is_told.load(Ordering::SeqCst));
        told_after(Duration::ZERO, tell, || {
            while !is_told.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        });
    }
}
