"""The documents that the tenants' front end defines."""

from __future__ import annotations

PROJECT = """query Project($id: String!) { project(id: $id) {
  id name objective status completionPercentage totalTasks completedTasks failedTasks successRate
  estimatedTimeRemainingSeconds
  agents { id agentType name status healthScore tasksCompleted tasksFailed currentTaskId lastActivity successRate }
  tasks(status: IN_PROGRESS, limit: 20) { id title status agentType durationSeconds }
  completedTasksList: tasks(status: COMPLETED, limit: 50) { id title status agentType completedAt durationSeconds }
} }"""
STATS = """query DashboardStats { dashboardStats {
  totalProjects activeProjects totalTasks activeTasks completedTasksToday
  averageSuccessRate mostActiveAgent recentActivities { id agentType message timestamp taskId } } }"""
METRICS = """query SystemMetrics { systemMetrics {
  timestamp activeAgents activeTasks tasksCompletedToday tasksFailedToday
  averageTaskDurationSeconds systemHealthScore cpuUsagePercent memoryUsagePercent } }"""
PROJECTS = """query Projects($filter: ProjectFilterInput) { projects(filter: $filter, limit: 50) {
  id name status completionPercentage totalTasks completedTasks failedTasks
  tasks { id title status durationSeconds } } }"""
ACTIVITY = """subscription AgentActivity($projectId: String) { agentActivity(projectId: $projectId) {
  id agentType agentId eventType message timestamp taskId } }"""
TASKS = """subscription TaskUpdates($projectId: String) { taskUpdates(projectId: $projectId) {
  id projectId title status agentType agent { name agentType } completedAt durationSeconds } }"""
STREAM = """subscription SystemMetricsStream($intervalSeconds: Int, $projectId: String) {
  systemMetricsStream(intervalSeconds: $intervalSeconds, projectId: $projectId) {
  timestamp activeAgents activeTasks tasksCompletedToday tasksFailedToday
  averageTaskDurationSeconds systemHealthScore cpuUsagePercent memoryUsagePercent } }"""
UPDATES = """subscription ProjectUpdates($projectId: String!) { projectUpdates(projectId: $projectId) {
  id name status completionPercentage totalTasks completedTasks failedTasks updatedAt } }"""


def percent(value: object) -> bool:
    """Whether it is a number from 0 to 100."""
    return isinstance(value, int | float) and 0 <= value <= 100
