-- 0020: the same page over all Dags. Over 1,000,000 task instances it took 2 s by sorting, and takes 5 ms from this index.
CREATE INDEX ti_listed_of_all ON task_instance (map_index, id);
