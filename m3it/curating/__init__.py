"""What a set holds twice: pictures and questions that stand in two splits, two sets, or two rows."""
