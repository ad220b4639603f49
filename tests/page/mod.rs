//! The page in a real browser: headless Chromium, driven over WebDriver.

mod account;
mod browser;
mod cases;
mod inert;
mod stay;
mod talk;
