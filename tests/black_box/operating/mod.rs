//! Tests for operators: commands, metrics, logs, and the start of programs.

mod audit;
mod dev;
mod logs;
mod metrics;
mod operator;
mod operator_doctor;
mod operator_holds;
mod operator_queue;
mod operator_seed;
mod operator_stock;
mod start;
