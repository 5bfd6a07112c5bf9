//! The promises of the library, one group in each file. Tests that need a process of their own run
//! again in one (`common::once_more`). `derive` and `hostile` are programs of their own, `stack/`
//! and `compile_errors/` packages of their own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

mod arrays_in_foreign;
mod article;
mod bad_input;
mod by_reference;
mod compatibility;
mod compatibility_forms;
mod compression;
mod configuration;
mod counted;
mod counter;
#[cfg(unix)]
mod crawler;
mod damage;
mod deep_paths;
mod directory_in_use;
mod documents;
mod every_type;
mod evolution;
mod failed_saves;
mod file_systems;
mod finish;
mod fixed;
mod foreign;
mod foreign_aliases;
mod foreign_forms;
mod forks;
mod going_back;
mod grid_engine;
mod groups;
mod heat;
mod history;
mod importing;
mod interval;
mod kills;
mod layers;
mod load_field;
mod load_matching;
mod migrations;
mod migrations_in_options;
mod names;
mod nested;
mod numbered_names;
mod numpy;
mod other_readers;
mod outputs;
mod outputs_files;
mod outputs_together;
mod outputs_values;
mod outside_program;
mod pipeline;
mod pipeline_files;
mod pipeline_going_on;
mod pipeline_inputs;
mod pipeline_restored;
mod pipeline_shared;
mod pipeline_stop;
mod pipeline_traps;
mod protection;
mod python;
mod python_examples;
mod read_back;
mod remove;
mod retention;
mod rewound;
mod save_and_load;
mod save_lines;
#[cfg(unix)]
mod save_while;
mod scopes;
mod sharding;
mod shared_state;
mod slurm;
mod step_macro;
mod stop;
mod stopping;
mod swallowed;
mod train;
mod two_forms;
mod user_code;
mod versions_in_foreign;
mod warnings;
mod workers;
mod written_and_read;
