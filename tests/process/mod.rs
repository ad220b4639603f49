//! The real binary: as an operator starts, breaks, stops and scripts it.

mod authors;
mod backup;
mod chat;
mod crash;
mod deeds;
mod disk;
mod moderate;
mod nodes;
mod operate;
mod personal;
mod plugins;
mod reload;
mod reloads;
mod remind;
mod schema;
mod seal;
mod standing;
mod start;
