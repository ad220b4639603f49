// Example plugin in C: no C library, a component of 5 KB.
//
// Tools: clang and lld (Debian packages of those names). `cargo xtask examples` builds it: bindings by wit-bindgen's
// generator for C, a module by
//
//   clang --target=wasm32 -O2 -ffreestanding -mbulk-memory -Wall -Wextra -nostdlib -Iplugins/examples/c/include
//     -Itarget/examples/c -Wl,--no-entry -Wl,--strip-all -o target/examples/c/core.wasm plugins/examples/c/plugin.c
//     plugins/examples/c/memory.c target/examples/c/message_hook.c target/examples/c/message_hook_component_type.o
//
// and a component of that.

#include "memory.h"
#include "message_hook.h"

#define WORD "casino"
#define TEXT(literal) { (uint8_t *)literal, sizeof(literal) - 1 }

static bool contains_word(message_hook_string_t text) {
  for (size_t at = 0; at + sizeof(WORD) - 1 <= text.len; at++) {
    size_t same = 0;
    while (same < sizeof(WORD) - 1 && text.ptr[at + same] == WORD[same]) same++;
    if (same == sizeof(WORD) - 1) return true;
  }
  return false;
}

static bool is_shouting(message_hook_string_t text) {
  size_t large = 0, small = 0;
  for (size_t at = 0; at < text.len; at++) {
    large += text.ptr[at] >= 'A' && text.ptr[at] <= 'Z';
    small += text.ptr[at] >= 'a' && text.ptr[at] <= 'z';
  }
  return large >= 10 && small == 0;
}

void exports_confab_plugin_message_decide(exports_confab_plugin_message_event_t *event,
                                          exports_confab_plugin_message_verdict_t *verdict) {
  static const confab_plugin_types_refusal_t of_word = {
    .reason = TEXT("We do not talk about that here."), .finding = { .rule = TEXT("word"), .note = TEXT(WORD) } };
  static const confab_plugin_types_refusal_t of_shouting = {
    .reason = TEXT("Please do not shout."), .finding = { .rule = TEXT("shouting") } };
  verdict->tag = CONFAB_PLUGIN_TYPES_VERDICT_ALLOW;
  if (contains_word(event->plain)) {
    verdict->tag = CONFAB_PLUGIN_TYPES_VERDICT_REJECT;
    verdict->val.reject = of_word;
  } else if (is_shouting(event->body)) {
    verdict->tag = CONFAB_PLUGIN_TYPES_VERDICT_BOUNCE;
    verdict->val.bounce = of_shouting;
  }
  forget_all();
}
