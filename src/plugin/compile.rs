//! From a component to machine code, within bounds: what would be too much for the compiler is refused before it begins, and
//! one that it is not done with in time is given up.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::wasmparser::{Parser, Payload};

/// Functions of all modules of a component. Interpreters have 15,000 to 30,000.
const FUNCTIONS_MAX: usize = 65_536;
/// Code of all of them. CPython has 6.5 MB.
const CODE_BYTES_MAX: usize = 32 << 20;
/// Code of one, for which the compiler takes more than in proportion. The longest of CPython has 427 kB.
const FUNCTION_BYTES_MAX: usize = 1 << 20;
/// Locals of all of them, which a few bytes declare by the thousand. CPython has 48,000.
const LOCALS_MAX: usize = 1_000_000;
/// So long one component may take. CPython takes some seconds, and many times that on a machine that has no time for it.
const COMPILE_MAX: Duration = Duration::from_secs(180);
/// As the first thread of a process has.
const STACK_BYTES: usize = 8 << 20;

/// A compiler that panics has refused: bytes of a plugin never end the server.
pub(super) fn compile(engine: &Engine, wasm: &[u8]) -> Result<Component, String> {
    static GIVEN_UP: Mutex<Weak<()>> = Mutex::new(Weak::new());
    check(wasm)?;
    let (engine, wasm) = (engine.clone(), wasm.to_vec());
    let compiled = within(COMPILE_MAX, &GIVEN_UP, move || Component::from_binary(&engine, &wasm))?;
    compiled.map_err(|error| {
        format!("not a component, or a damaged one; build it with `confab plugin build`, or fetch it again: {error:#}")
    })
}

/// Counts what there is to compile. What is damaged the compiler tells: it reads all of it before it compiles any.
fn check(wasm: &[u8]) -> Result<(), String> {
    let (mut functions, mut bytes, mut longest, mut locals) = (0_usize, 0_usize, 0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(wasm).map_while(Result::ok) {
        let Payload::CodeSectionEntry(body) = payload else { continue };
        let length = body.range().len();
        functions += 1;
        bytes += length;
        longest = longest.max(length);
        let Ok(groups) = body.get_locals_reader() else { continue };
        let counts = groups.into_iter().map_while(Result::ok).map(|(count, _)| count as usize);
        locals = counts.fold(locals, usize::saturating_add);
    }
    for (what, found, most) in [
        ("functions", functions, FUNCTIONS_MAX),
        ("bytes of code", bytes, CODE_BYTES_MAX),
        ("bytes in one function", longest, FUNCTION_BYTES_MAX),
        ("locals", locals, LOCALS_MAX),
    ] {
        if found > most {
            return Err(format!("has {found} {what}: at most {most} are compiled"));
        }
    }
    Ok(())
}

/// On a thread of its own, for no compiler can be ended: who was given up runs on, and until it is over nothing else begins.
/// Else each try would take one more core.
fn within<T: Send + 'static>(
    most: Duration,
    given_up: &Mutex<Weak<()>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let given_up = || given_up.lock().unwrap_or_else(PoisonError::into_inner);
    if given_up().strong_count() > 0 {
        let why =
            "is not compiled: the compiler still works on one that was given up; a restart of the server ends that";
        return Err(why.to_owned());
    }
    let (sender, done) = sync_channel(1);
    let running = Arc::new(());
    let mark = Arc::clone(&running);
    let work = move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
        drop(mark);
    };
    let thread = thread::Builder::new().name("plugin-compiler".into()).stack_size(STACK_BYTES);
    thread.spawn(work).map_err(|error| error.to_string())?;
    done.recv_timeout(most).map_err(|error| match error {
        RecvTimeoutError::Disconnected => "the compiler does not survive it".to_owned(),
        RecvTimeoutError::Timeout => {
            *given_up() = Arc::downgrade(&running);
            format!("takes the compiler longer than {} s: given up, though that goes on", most.as_secs())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leb(mut number: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while number > 0x7f {
            bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        bytes.push(number as u8);
        bytes
    }

    fn sized(bytes: &[u8]) -> Vec<u8> {
        [&leb(bytes.len())[..], bytes].concat()
    }

    /// So many locals, and so many bytes behind them.
    fn body(locals: usize, length: usize) -> Vec<u8> {
        let head = if locals == 0 { vec![0] } else { [vec![1], leb(locals), vec![0x7f]].concat() };
        [head, vec![0x01; length]].concat()
    }

    /// A module whose code nobody looks at.
    fn module(bodies: &[Vec<u8>]) -> Vec<u8> {
        let section = |id: u8, items: Vec<u8>| [vec![id], sized(&[leb(bodies.len()), items].concat())].concat();
        let code = bodies.iter().flat_map(|body| sized(body)).collect();
        [b"\0asm\x01\0\0\0".to_vec(), section(3, vec![0; bodies.len()]), section(10, code)].concat()
    }

    #[test]
    fn what_is_too_much_is_refused_before_it_is_compiled() {
        let full = body(0, FUNCTION_BYTES_MAX - 1);
        for bodies in [&[body(3, 100), body(0, 1)][..], std::slice::from_ref(&full), &vec![body(0, 1); FUNCTIONS_MAX]] {
            assert_eq!(check(&module(bodies)), Ok(()));
        }
        for (bodies, told) in [
            (vec![body(0, FUNCTION_BYTES_MAX)], "has 1048577 bytes in one function: at most 1048576 are compiled"),
            (vec![full; CODE_BYTES_MAX / FUNCTION_BYTES_MAX + 1], "bytes of code"),
            (vec![body(0, 1); FUNCTIONS_MAX + 1], "has 65537 functions"),
            (vec![body(50_000, 1); LOCALS_MAX / 50_000 + 1], "has 1050000 locals"),
        ] {
            let error = check(&module(&bodies)).unwrap_err();
            assert!(error.contains(told), "{told}: {error}");
        }
        assert_eq!(check(b"no component"), Ok(()), "which the compiler tells");
    }

    #[test]
    fn one_that_takes_too_long_is_given_up_and_no_other_is_begun_meanwhile() {
        let (given_up, patience) = (Mutex::new(Weak::new()), Duration::from_secs(60));
        let (end, until) = sync_channel::<()>(0);
        let error = within(Duration::from_millis(1), &given_up, move || until.recv().is_ok()).unwrap_err();
        assert!(error.contains("given up"), "{error}");
        let error = within(patience, &given_up, || ()).unwrap_err();
        assert!(error.contains("still works on one that was given up"), "{error}");
        end.send(()).unwrap();
        while given_up.lock().unwrap().strong_count() > 0 {
            thread::yield_now();
        }
        assert_eq!(within(patience, &given_up, || 7), Ok(7));
        let panicked = within(patience, &given_up, || -> u8 { panic!("on purpose") });
        assert_eq!(panicked, Err("the compiler does not survive it".to_owned()));
    }
}
