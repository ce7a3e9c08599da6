"""What any module may use, without anything about calls: time, late imports, tasks, arguments, secrets."""
