//! A guest that grows a table without end. Rust has no words for tables, so its module is written here, instruction by
//! instruction; a component is made of it as of any other. The bench of hostile guests has it too.

use std::path::Path;

use wit_component::metadata::Bindgen;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// What stands beside it.
pub(crate) const MANIFEST: &str =
    "id = \"table\"\nversion = \"0.1.0\"\napi = \"0.1\"\nhooks = [\"message\"]\ncapabilities = []\n";

/// `cabi_realloc`: gives out memory upwards.
const REALLOC: &str = "
    01 01 7f                          ;; (local $start i32)
    23 00 41 07 6a 41 78 71 22 04     ;; $start = ($next + 7) & -8
    20 03 6a 24 00                    ;; $next = $start + the new size
    20 04 0b                          ;; $start
";

/// `decide`: of a text that begins with "tabl" it does not come back unless it got 100,000 elements, five times what
/// the server allows.
const DECIDE: &str = "
    00                                ;; no locals
    41 80 08 24 00                    ;; $next = 1024: what the last call was given is forgotten
    20 00 28 02 50 28 00 00           ;; the first four bytes of the body, whose address is at 80 of the event
    41 f4 c2 89 e3 06 46 04 40        ;; if they are \"tabl\"
    03 40                             ;;   loop
    d0 70 41 e8 07 fc 0f 00           ;;     table.grow by 1000 nulls
    41 7f 46 04 40 00 0b              ;;     if that is refused: unreachable
    fc 10 00 41 a0 8d 06 49 0d 00 0b  ;;     again while table.size < 100000
    0b                                ;; end
    41 00 0b                          ;; the verdict at address 0, where nothing was ever written: allow
";

/// Bytes of a listing: hex, with a comment behind `;;`.
fn bytes(listing: &str) -> Vec<u8> {
    let code = listing.lines().filter_map(|line| line.split(";;").next());
    code.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

/// An unsigned number as wasm has it (LEB128).
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// With its length before it.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [&number(bytes.len()), bytes].concat()
}

fn export(name: &str, kind: u8, index: u8) -> Vec<u8> {
    [&sized(name.as_bytes())[..], &[kind, index]].concat()
}

/// The module, with a table of so many elements to begin with.
fn module(elements: usize) -> Vec<u8> {
    const I32: u8 = 0x7f;
    const FUNCREF: u8 = 0x70;
    let exports =
        [export("memory", 2, 0), export("cabi_realloc", 0, 0), export("confab:plugin/message@0.1.0#decide", 0, 1)];
    let sections: [(u8, Vec<u8>); 7] = [
        (1, vec![2, 0x60, 4, I32, I32, I32, I32, 1, I32, 0x60, 1, I32, 1, I32]), // the types of both functions
        (3, vec![2, 0, 1]),
        (4, [&[1, FUNCREF, 0][..], &number(elements)].concat()),
        (5, vec![1, 0, 2]),                        // a memory of two pages
        (6, vec![1, I32, 1, 0x41, 0x80, 8, 0x0b]), // (global $next (mut i32) (i32.const 1024))
        (7, [&[3][..], &exports.concat()].concat()),
        (10, [&[2][..], &sized(&bytes(REALLOC)), &sized(&bytes(DECIDE))].concat()),
    ];
    let sections = sections.map(|(id, content)| [&[id][..], &sized(&content)].concat());
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

/// The same, as a server loads it.
pub(crate) fn component(elements: usize) -> Vec<u8> {
    let mut contract = Bindgen::default().resolve;
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("sdk/wit/since_v0_1");
    let (package, _) = contract.push_path(wit).unwrap();
    let world = contract.select_world(&[package], Some("message-hook")).unwrap();
    let mut module = module(elements);
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}
