//! The shell that runs journal, replication, partitions, tier and coordinators behind one interface.
