// Example plugin in JavaScript: a component of 1.6 MB, QuickJS with it.
//
// Tools: Node.js 20 or later, and `componentize-qjs` 0.4.5 of npm. `cargo xtask examples` builds it so, from the root of
// the repository (not with --opt-size: that wants tail calls):
//
//   npm install --prefix target/examples/node --ignore-scripts --no-audit --no-fund --save-exact componentize-qjs@0.4.5
//   target/examples/node/node_modules/.bin/componentize-qjs --wit sdk/wit/since_v0_1 --world message-hook
//     --js plugins/examples/javascript/plugin.js --sync --stub-wasi --output target/assets/examples/example-javascript.wasm

const WORD = "casino";

const isShouting = (text) => (text.match(/[A-Z]/g) ?? []).length >= 10 && !/[a-z]/.test(text);

export const message = {
    decide(event) {
        if (event.plain.includes(WORD)) {
            const finding = { rule: "word", where: null, note: WORD };
            return { tag: "reject", val: { reason: "We do not talk about that here.", finding } };
        }
        if (isShouting(event.body)) {
            const finding = { rule: "shouting", where: null, note: "" };
            return { tag: "bounce", val: { reason: "Please do not shout.", finding } };
        }
        return { tag: "allow" };
    },
};
