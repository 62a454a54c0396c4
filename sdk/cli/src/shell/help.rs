//! What `help` says: the shell's own words, and each statement in a line.

/// The shell's words, then the language's.
pub(super) const HELP: &str = "\
The shell:
  help                                 this text
  exit, quit, Ctrl-D                   ends the shell
  Ctrl-C                               ends a running query, or drops what was typed
  Tab                                  completes keywords, functions, streams and tables
Statements end with ';':
  CREATE STREAM | TABLE name (columns) WITH (KAFKA_TOPIC='…', VALUE_FORMAT='JSON');
                                       declares what a topic holds
  CREATE STREAM name AS SELECT …;      a query that runs on and writes its rows to a topic
  CREATE TABLE name AS SELECT … GROUP BY …;
                                       … and keeps a row per key, which can be asked for
  INSERT INTO name (columns) VALUES (…);
                                       writes a row
  SELECT … FROM name [WHERE …] [LIMIT n];
                                       what is there now
  SELECT … FROM name … EMIT CHANGES [LIMIT n];
                                       what is there and what comes
  PRINT topic [FROM BEGINNING] [LIMIT n];
                                       the records of a topic
  SHOW STREAMS | TABLES | TOPICS | QUERIES | FUNCTIONS | PROPERTIES;
  DESCRIBE name [EXTENDED];            columns; lag, errors and warnings
  DESCRIBE FUNCTION name;              what a function takes and gives
  EXPLAIN SELECT … | query;            how a query is run
  SET 'property'='value'; UNSET 'property';
                                       such as auto.offset.reset=earliest
  TERMINATE query | ALL;               ends queries
  DROP STREAM | TABLE name [DELETE TOPIC];";
