//! What scanning finds.

use confab_plugin::normal::{plain, skeleton};

use crate::known::Ending;
use crate::scan::Links;

fn sure_hosts(body: &str) -> Vec<String> {
    let plain = plain(body);
    let links = Links::of(&plain, body, skeleton).filter(|link| link.ending == Ending::Sure);
    links.map(|link| link.host.into_owned()).collect()
}

#[test]
fn what_is_a_link() {
    for (body, expected) in [
        ("https://example.com/a?b#c", "example.com"),
        ("HTTP://Example.COM:8080.", "example.com"),
        ("(see www.example.com, please)", "www.example.com"),
        ("example.com/x", "example.com"),
        ("go to example.com.", "example.com"),
        ("hxxps://example[.]com/x", "example.com"),
        ("hxxp[:]//example(.)com", "example.com"),
        ("example (dot) com", "example.com"),
        ("example[dot]me", "example.me"),
        ("https:\\\\example.com\\x", "example.com"),
        ("https:/example.com", "example.com"),
        ("https:///example.com", "example.com"),
        ("https://paypal.com@evil.example/x", "evil.example"),
        ("https://evil.example\\@paypal.com", "evil.example"),
        ("%68ttps://ex%61mple.com", "example.com"),
        ("https://ex\u{200b}ample.com", "example.com"),
        ("ｅｘａｍｐｌｅ．ｃｏｍ", "example.com"),
        ("example\u{3002}com", "example.com"),
        ("请看example.com谢谢。再见", "example.com"),
        ("example.com에서", "example.com"),
        ("https://пример.рф/", "пример.рф"),
        ("пример.рф", "пример.рф"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("http://3405803783/", "3405803783"),
        ("203.0.113.7/login", "203.0.113.7"),
        ("203.0.113.7:8080/x", "203.0.113.7"),
        ("irc://irc.example.net/x", "irc.example.net"),
        ("//evil.example/x", "evil.example"),
        ("foo.zip/x www.foo.museum.zz", "foo.zip www.foo.museum.zz"),
        ("https://a.example/?u=https://b.example/", "a.example b.example"),
        ("see...example.com", "example.com"),
        ("evil.example.com/main.rs", "evil.example.com"),
        ("_example.com_ **example.net** ~example.org~ `example.de`", "example.com example.net example.org example.de"),
        ("https://example.com-", "example.com"),
        ("@example.com/x", "example.com"),
        ("example [ dot ] com", "example.com"),
        ("free.sbs free.cfd free.lol/x", "free.sbs free.cfd free.lol"),
        ("tg://join?invite=x bit.ly", "t.me bit.ly"),
    ] {
        assert_eq!(sure_hosts(body).join(" "), expected, "{body}");
    }
}

#[test]
fn what_is_no_link() {
    for body in [
        "main.rs libc.so.6 foo.tar.gz node.js ubuntu.iso setup.sh lib.py a.zip README.md",
        "/etc/apt/sources.list and ~/.config/x.com",
        "10.04.1 2.6.32-5 v1.2 3.14 192.168.1.1 10.0.0.0/24",
        "e.g. i.e. U.S.A. z.B. d.h. a.k.a. m.in. т.е. и т.д. EE.UU. c.à.d.",
        "so...yes end.Start klaar.De trein fini.Fr works.it ok.me too well.so",
        "@example.com @@example.com bob@example.com/x thanks.lol",
        "bob@example.com john.doe@mail.example.org mailto:a@b.net",
        "root@host.example.com:~# ls",
        "ASP.NET java.net console.info(x) logger.info self.log.info java.io.File",
        "std::fmt::Display a::b c:d 16:9 12:30 http:// https:// localhost http://localhost:80",
        "file:///etc/passwd C:\\x.com \\\\server\\share.com",
        "foo_bar.info array.map(x) $user.name obj.id = 5 os.com=",
        "a.b.c x.y ... .. . :: :) (.) [.] 你好。世界 すごい。ok",
        "что.то сказал.нет привет.сом",
    ] {
        assert_eq!(sure_hosts(body).join(" "), "", "{body}");
    }
}
