"""The verbs: functions and generators of small records; nothing here knows of flags, bars or colours."""
