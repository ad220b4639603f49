//! How far it is: a bar on a terminal, a line every ten seconds elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

const PLAIN_EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    bar: ProgressBar,
    plain: Option<JoinHandle<()>>,
}

impl Progress {
    pub(crate) fn new(what: &'static str, total: usize) -> anyhow::Result<Self> {
        let bar = ProgressBar::new(total as u64).with_message(what);
        let template = "{msg} [{wide_bar}] {human_pos}/{human_len} {per_sec} eta {eta}";
        bar.set_style(ProgressStyle::with_template(template)?.progress_chars("=> "));
        let plain = bar.is_hidden().then(|| tokio::spawn(say_now_and_then(bar.clone(), what)));
        Ok(Self { bar, plain })
    }

    pub(crate) fn add(&self, done: usize) {
        self.bar.inc(done as u64);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        if let Some(plain) = &self.plain {
            plain.abort();
        }
    }
}

async fn say_now_and_then(bar: ProgressBar, what: &'static str) {
    let started = Instant::now();
    let mut before = 0;
    loop {
        tokio::time::sleep(PLAIN_EVERY).await;
        let done = bar.position();
        let rate = (done - before) as f64 / PLAIN_EVERY.as_secs_f64();
        before = done;
        let seconds = started.elapsed().as_secs();
        eprintln!("{what}: {done} of {} after {seconds} s, {rate:.0}/s", bar.length().unwrap_or_default());
    }
}
