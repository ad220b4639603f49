//! The page in a real browser: headless Chromium, driven over WebDriver.

mod browser;
mod inert;
mod talk;
