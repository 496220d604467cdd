-- 0030: task instances by start, the order in which people look at them: the page is read from its end instead of sorting all of them.
CREATE INDEX ti_by_start ON task_instance (start_date, id);
